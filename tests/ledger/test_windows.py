"""Sliding windows: never more than the limit in any window, freed in time, the same in Lua and in Python."""

import itertools
import json
import random
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from middlewares.ledger.admission.rules import SLOTS
from middlewares.ledger.admission.sliding_window import SlidingWindow
from middlewares.ledger.scripts import ADMIT
from middlewares.store import Call
from proxy.store.store import Store
from tests.ledger.redis_time import NEW_YEAR, timeline

SCRIPT = timeline(ADMIT)
BASE = NEW_YEAR
EXAMPLES = itertools.count()
QUICK = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Decision:
    admitted: bool
    remaining: int
    reset: int


async def by_redis(store: Store, limit: int, width: int, times: list[int]) -> list[Decision]:
    name = f"{{window}}{next(EXAMPLES)}:{random.getrandbits(64)}"
    keys = [f"{name}:holds", f"{name}:bodies", f"{name}:window"]
    rule = ["w", str(limit), str(width), "0", "0"]
    steps = [
        {"clock": time, "keys": keys, "args": [str(number), "60000", "", "0", *rule]}
        for number, time in enumerate(times)
    ]
    answers = await store.run(Call(SCRIPT, (), [json.dumps(step) for step in steps]))
    await store.redis.delete(*keys)
    return [
        Decision(bool(each[0]), int(each[-3 if each[0] else -2]), int(each[-2 if each[0] else -1])) for each in answers
    ]


def by_twin(limit: int, width: int, times: list[int]) -> list[Decision]:
    window = SlidingWindow(limit, width)
    return [Decision(window.admit(time), limit - window.count(time), window.reset_ms(time)) for time in times]


@st.composite
def timelines(draw: st.DrawFn, *, steps_back: bool) -> tuple[int, int, list[int]]:
    """A limit, a slot width, and times: bursts, pauses of all lengths and, if asked for, a clock that is set back."""
    limit, width = draw(st.integers(1, 12)), draw(st.sampled_from([7, 1_000, 1_440_000]))
    window = SLOTS * width
    forward = st.one_of(
        st.just(0),
        st.integers(0, width),
        st.integers(0, window),
        st.sampled_from([width, window - width, window, window + width, window + 2 * width, 3 * window]),
    )
    gap = st.one_of(forward, forward, forward, forward.map(lambda ms: -ms)) if steps_back else forward
    gaps = draw(st.lists(gap, min_size=1, max_size=80))
    start = BASE + draw(st.integers(0, width))
    return limit, width, [max(1, time) for time in itertools.accumulate([start, *gaps])]


@pytest.mark.ci
@given(timelines(steps_back=False))
@QUICK
async def test_same_decisions_as_the_twin(store: Store, case: tuple[int, int, list[int]]) -> None:
    assert await by_redis(store, *case) == by_twin(*case)


@pytest.mark.ci
@given(timelines(steps_back=True))
@QUICK
async def test_same_decisions_when_the_clock_is_set_back(store: Store, case: tuple[int, int, list[int]]) -> None:
    assert await by_redis(store, *case) == by_twin(*case)


@pytest.mark.ci
@given(timelines(steps_back=False))
@QUICK
async def test_never_too_many_and_freed_at_most_a_slot_late(store: Store, case: tuple[int, int, list[int]]) -> None:
    limit, width, times = case
    window = SLOTS * width
    admitted: list[int] = []
    for now, decision in zip(times, await by_redis(store, *case), strict=True):
        if decision.admitted:
            admitted.append(now)
            assert sum(now - window < each for each in admitted) <= limit
        else:
            assert sum(now - window - width <= each for each in admitted) >= limit


@pytest.mark.ci
@given(timelines(steps_back=True))
@QUICK
async def test_a_clock_that_is_set_back_leaks_nothing(store: Store, case: tuple[int, int, list[int]]) -> None:
    limit, width, times = case
    later = max(times) + (SLOTS + 1) * width
    decisions = await by_redis(store, limit, width, [*times, *[later] * (limit + 1)])
    assert [each.admitted for each in decisions[len(times) :]] == [True] * limit + [False]


async def test_an_admission_at_a_clock_set_back_does_not_erase_the_window(store: Store) -> None:
    hours = 3 * 3_600_000
    times = [*[BASE] * 10, BASE - hours, *[BASE] * 5]
    decisions = await by_redis(store, 11, 1_000, times)
    assert [each.admitted for each in decisions] == [True] * 12 + [False] * 4
    assert decisions == by_twin(11, 1_000, times)


async def test_a_clock_set_back_by_decades_costs_no_walk_through_them(store: Store) -> None:
    times = [BASE, 1, BASE + 1]
    assert await by_redis(store, 5, 1_000, times) == by_twin(5, 1_000, times)
