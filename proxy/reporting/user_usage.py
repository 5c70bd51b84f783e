"""Usage of an app by its users, with the day on which each was last used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from proxy.reporting.dates import Days
from proxy.reporting.totals import Dimension, UsageTotal, read_usage

if TYPE_CHECKING:
    from proxy.history.reader import LedgerSources


@dataclass(slots=True)
class UserUsage:
    """What one user used. `last_day` None: nothing."""

    requests: int = 0
    amount: int = 0
    """Money, in atomic units."""
    last_day: date | None = None


@dataclass(slots=True)
class UsageByUser:
    """The usage of an app: of each user, under its id, and of all and the app itself together."""

    total: UsageTotal
    users: Mapping[str, UserUsage] = field(default_factory=dict)


async def read_usage_by_user(sources: LedgerSources, app: str, days: Days) -> UsageByUser:
    """Return the usage of an app over these days, from the running totals in Redis and in the history."""
    found = await read_usage(sources, app, days, (Dimension.USER, Dimension.DAY))
    users: dict[str, UserUsage] = {}
    for (user, day), total in found.rows():
        if not user:
            continue
        usage = users.setdefault(user, UserUsage())
        usage.requests += total.requests
        usage.amount += total.amount
        if total.requests:
            usage.last_day = date.fromisoformat(day)  # rows are in the order of days
    return UsageByUser(found.total, users)
