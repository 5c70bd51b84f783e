"""Up to which moment events may be pruned, as pure functions. Boundaries are UTC months, in Unix milliseconds."""

from __future__ import annotations

from datetime import date, timedelta

from proxy.history.batch import day_of, start_of


def wanted(now_ms: int, months: int) -> int:
    """Return the first moment to keep, if the current month and `months` whole ones before it are kept."""
    today = day_of(now_ms)
    number = max(12, today.year * 12 + today.month - 1 - months)
    return start_of(date(number // 12, number % 12 + 1, 1))


def allowed(wanted_ms: int, closed: date | None, first_ms: int | None) -> int:
    """Return the latest boundary up to `wanted_ms` behind which nothing needs the events any more.

    Running totals of days after `closed` also stand in Redis, where they are verified by their events; `first_ms` is
    the first entry that a stream in Redis still has, None if it is empty. 0: nothing may be pruned.
    """
    if closed is None:
        return 0
    bounds = [wanted_ms, start_of(closed + timedelta(days=1))]
    if first_ms is not None:
        bounds.append(first_ms)
    return max(0, start_of(day_of(min(bounds)).replace(day=1)))
