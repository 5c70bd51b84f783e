"""The months of which an app has statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from middlewares.auth.records import AppRecord
from proxy.history.reader import LedgerSources
from proxy.reporting.dates import Days, month_of, redis_today
from proxy.reporting.totals import Dimension, UsageTotal, read_usage


@dataclass(frozen=True, slots=True)
class UsedMonth:
    """A calendar month, and what was used in it; fees stand in the statement itself."""

    days: Days
    over: bool
    total: UsageTotal

    @property
    def period(self) -> str:
        """Return it as the path of its statement names it, such as `2026-11`."""
        return f"{self.days.first:%Y-%m}"


async def used_months(sources: LedgerSources, app: AppRecord) -> list[UsedMonth]:
    """Return the months since the app was created, the latest first."""
    today = await redis_today(sources.client)
    days = Days(min(app.created_at.date(), today), today)
    found = await read_usage(sources, app.client_id, days, (Dimension.MONTH,))
    return [
        UsedMonth(each, today > each.last, found.groups.get((f"{each.first:%Y-%m}",), UsageTotal()))
        for each in reversed(months(days))
    ]


def months(days: Days) -> list[Days]:
    """Return the calendar months of these days, in order."""
    found = [month_of(days.first)]
    while found[-1].last < days.last:
        found.append(month_of(found[-1].last + timedelta(days=1)))
    return found
