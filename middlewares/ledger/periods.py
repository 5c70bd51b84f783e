"""Calendar periods in UTC; the Python twin of `lua/period.lua`."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
TOTAL = "total"
"""The period of caps that count for good."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day_of(time_ms: int) -> str:
    """Return the UTC day of a Unix time in milliseconds, as `20261121`."""
    return _day(time_ms // DAY_MS)


@lru_cache(maxsize=512)
def _day(number: int) -> str:
    return (EPOCH + timedelta(days=number)).strftime("%Y%m%d")


def month_of(time_ms: int) -> str:
    """Return the UTC month of a Unix time in milliseconds, as `202611`."""
    return day_of(time_ms)[:6]


def period_of(kind: str, time_ms: int) -> str:
    """Return the day (`kind` "d") or month ("m") of a Unix time in milliseconds; of "t", which never ends, `total`."""
    return day_of(time_ms) if kind == "d" else month_of(time_ms) if kind == "m" else TOTAL


def period_ends(kind: str, time_ms: int) -> int:
    """Return the Unix milliseconds at which that day or month is over."""
    now = EPOCH + timedelta(milliseconds=time_ms)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = midnight + timedelta(days=1) if kind == "d" else next_month
    return (end - EPOCH) // timedelta(milliseconds=1)
