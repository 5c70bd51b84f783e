"""Spans of UTC days: parsing, and their names in the ledger."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.control.records import Client

_EPOCH = date(1970, 1, 1)
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_MOST_DAYS = 3_660

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")


def unix_ms(when: datetime) -> int:
    """Return the whole milliseconds since the epoch, which a float of seconds would miss by one at times."""
    return (when - _BEGIN) // timedelta(milliseconds=1)


class BadDate(ValueError):
    """Text that is no day, month or span of days; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Days:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    @property
    def start_ms(self) -> int:
        """Begin of the span, in Unix milliseconds."""
        return (self.first - _EPOCH).days * _DAY_MS

    @property
    def end_ms(self) -> int:
        """End of the span, in Unix milliseconds; the first that is not part of it."""
        return ((self.last - _EPOCH).days + 1) * _DAY_MS

    def __contains__(self, time_ms: int) -> bool:
        return self.start_ms <= time_ms < self.end_ms

    def each(self) -> list[date]:
        """Return the days, in order."""
        return [self.first + timedelta(days=offset) for offset in range((self.last - self.first).days + 1)]


EVER = Days(date(1970, 1, 1), date(9999, 12, 30))
"""All days that events can have."""


def parse_day(text: str) -> date:
    """Return the day that is written as `2026-11-21`. Raises `BadDate`."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BadDate(f"{text!r} is not a day; write it as 2026-11-21")


def parse_period(text: str) -> Days:
    """Return the month that is written as `2026-11`, or the day as `2026-11-21`. Raises `BadDate`."""
    if not _MONTH.fullmatch(text):
        try:
            return Days(day := parse_day(text), day)
        except BadDate:
            raise BadDate(f"{text!r} is not a period; write a month as 2026-11 or a day as 2026-11-21") from None
    try:
        return month_of(date.fromisoformat(f"{text}-01"))
    except ValueError:
        raise BadDate(f"{text!r} is not a month") from None


def month_of(day: date) -> Days:
    """Return the calendar month of a day."""
    return Days(day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1]))


def month_so_far(today: date) -> Days:
    """Return the days of the month of `today`, up to that day."""
    return Days(today.replace(day=1), today)


def span(first: str | None, last: str | None, today: date) -> Days:
    """Return the days from `first` to `last`, by default those of the month of `today`.

    With only a first day the span ends today (or on that day, if it is later); with only a last day it begins with the
    month of that day. Raises `BadDate`.
    """
    end = parse_day(last) if last else None
    start = parse_day(first) if first else month_of(end or today).first
    end = end or (max(start, today) if first else month_of(today).last)
    if start > end:
        raise BadDate(f"the span begins on {start}, after it ends on {end}")
    if (end - start).days >= _MOST_DAYS:
        raise BadDate(f"the span covers more than {_MOST_DAYS} days")
    return Days(start, end)


async def redis_today(client: Client) -> date:
    """Return the current day in UTC by the clock of Redis, which dates every event."""
    from proxy.store.clients import now_ms  # noqa: PLC0415 - `tollgate --help` needs no client

    return datetime.fromtimestamp(await now_ms(client) // 1_000, UTC).date()
