"""Usage of the whole house on a day that is not over, app by app, by the reader that statements are made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from middlewares.ledger.concurrency import gather_bounded
from proxy.control.records import APPS, indexed
from proxy.history.totals.total import compact
from proxy.reporting.dates import Days
from proxy.reporting.totals import Breakdown, Dimension, UsageTotal, read_usage

if TYPE_CHECKING:
    from proxy.history.reader import LedgerSources

_BATCH = 1_000
"""Apps that Redis is asked of at once."""


@dataclass(slots=True)
class HouseUsage:
    """What all apps have used on one day."""

    total: UsageTotal = field(default_factory=UsageTotal)
    by_workload: dict[str, UsageTotal] = field(default_factory=dict)
    by_app: dict[str, UsageTotal] = field(default_factory=dict)

    def include(self, app: str, usage: Breakdown) -> None:
        """Add an app, whose usage is broken down by workload."""
        self.total.include(usage.total)
        self.by_app[app] = usage.total
        for (workload,), total in usage.rows():
            self.by_workload.setdefault(workload, UsageTotal()).include(total)


async def read_house(sources: LedgerSources, today: date) -> HouseUsage:
    """Return the usage of all apps on a day that is not over, whose running totals are therefore all in Redis.

    Apps that have none cost no more than a look. Raises what `read_usage` does.
    """
    active = await _active(sources, today)
    days = Days(today, today)
    usages = await gather_bounded(lambda app: read_usage(sources, app, days, (Dimension.WORKLOAD,)), active)
    found = HouseUsage()
    for app, usage in zip(active, usages, strict=True):
        found.include(app, usage)
    return found


async def _active(sources: LedgerSources, day: date) -> list[str]:
    """Return the apps that have running totals of a day in Redis."""
    apps = sorted(await indexed(sources.client, APPS))
    found: list[str] = []
    for start in range(0, len(apps), _BATCH):
        batch = apps[start : start + _BATCH]
        pipeline: Any = sources.client.pipeline(transaction=False)
        for app in batch:
            pipeline.exists(sources.keys.usage(app, compact(day)))
        found += [app for app, there in zip(batch, await pipeline.execute(), strict=True) if there]
    return found
