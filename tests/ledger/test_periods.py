"""Days and months in Lua and Python are the calendar's, from 1970 to 2200."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from middlewares.ledger.periods import day_of, month_of, period_ends, period_of
from proxy.store.store import Store
from tests.ledger.redis_time import ask, library

LUA = library(
    "period",
    """
    local kind, now = words[1], tonumber(words[2])
    return { period_of(kind, now), string.format('%d', period_ends(kind, now)) }
    """,
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400_000
LAST = datetime(2200, 12, 31, tzinfo=UTC)
LAST_MS = int(LAST.timestamp()) * 1000 + DAY - 1


def moment(time_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time_ms)


def by_the_calendar(kind: str, time_ms: int) -> tuple[str, int]:
    """The period, and when it ends, found by walking: the slow and plain way."""
    name = "%Y%m%d" if kind == "d" else "%Y%m"
    here = moment(time_ms)
    day = here.replace(hour=0, minute=0, second=0, microsecond=0)
    while day.strftime(name) == here.strftime(name):
        day += timedelta(days=1)
    return here.strftime(name), int((day - EPOCH).total_seconds()) * 1000


async def check(store: Store, kind: str, times: list[int]) -> None:
    answers = await ask(store, LUA, [f"{kind} {time}" for time in times])
    for time, (period, ends) in zip(times, answers, strict=True):
        expected = by_the_calendar(kind, time)
        assert (period.decode(), int(ends)) == expected, moment(time)
        assert (period_of(kind, time), period_ends(kind, time)) == expected, moment(time)


@pytest.mark.ci
async def test_every_day_at_one_of_its_edges(store: Store) -> None:
    numbers = range(LAST_MS // DAY + 1)
    times = [number * DAY + (number % 2) * (DAY - 1) for number in numbers]
    for start in range(0, len(times), 20_000):
        answers = await ask(store, LUA, [f"d {time}" for time in times[start : start + 20_000]])
        for number, (period, ends) in enumerate(answers, start):
            assert period.decode() == date.fromordinal(number + EPOCH.toordinal()).strftime("%Y%m%d")
            assert int(ends) == (number + 1) * DAY


async def test_every_month_at_both_edges(store: Store) -> None:
    firsts = [day for day in range(0, LAST_MS + 2, DAY) if moment(day).day == 1]
    months = list(pairwise(firsts))
    answers = await ask(store, LUA, [f"m {time}" for first, ends in months for time in (first, ends - 1)])
    for number, (period, ends) in enumerate(answers):
        first, expected = months[number // 2]
        assert (period.decode(), int(ends)) == (moment(first).strftime("%Y%m"), expected)


@given(times=st.lists(st.integers(0, LAST_MS), min_size=1, max_size=100))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_moment(store: Store, times: list[int]) -> None:
    await check(store, "d", times)
    await check(store, "m", times)


def test_the_day_of_a_month() -> None:
    assert month_of(LAST_MS) == day_of(LAST_MS)[:6] == "220012"
