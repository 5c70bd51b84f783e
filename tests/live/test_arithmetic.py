"""The arithmetic of ticks, which knows no clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.ledger.admission.pricing import amount_of, prices_for
from middlewares.ledger.sessions.session import echoes, lived, price_of, rates_of

TICK, GAP = 5_000, 30_000


@pytest.mark.parametrize(
    ("elapsed", "later", "first"),
    [
        (-1, 0, 0),
        (0, 0, 0),
        (4_999, 4_999, 4_999),
        (5_000, 5_000, 5_000),
        (10_000, 10_000, 5_000),
        (30_000, 30_000, 5_000),
        (30_001, 0, 0),
    ],
)
def test_time_since_the_last_tick(elapsed: int, later: int, first: int) -> None:
    at = 1_700_000_000_000
    assert lived(at, at + elapsed, tick=TICK, gap=GAP, first=False) == later
    assert lived(at, at + elapsed, tick=TICK, gap=GAP, first=True) == first


@pytest.mark.parametrize(("elapsed", "echo"), [(-1, False), (0, True), (2_499, True), (2_500, False)])
def test_an_echo_comes_before_half_a_tick(elapsed: int, echo: bool) -> None:
    assert echoes(0, elapsed, TICK) is echo


@settings(deadline=None)
@given(st.lists(st.integers(0, 2 * GAP), max_size=50), st.integers(1, 3))
def test_no_moment_is_counted_twice_and_none_within_the_gap_is_lost(pauses: list[int], gateways: int) -> None:
    """However ticks fall, and however often each is reported: what counts is the time between them, but for pauses."""
    seen = now = total = 0
    for pause in pauses:
        now += pause
        for _ in range(gateways):
            if not echoes(seen, now, TICK):
                step = lived(seen, now, tick=TICK, gap=GAP, first=False)
                assert step == (now - seen if now - seen <= GAP else 0)
                total, seen = total + step, now
    assert total <= seen <= now
    assert 2 * (now - seen) < TICK, "what is not counted yet is less than half a tick"


AMOUNTS = st.integers(0, 10**27)


@settings(deadline=None)
@given(st.lists(st.integers(1, GAP), min_size=1, max_size=40), AMOUNTS, st.integers(1, 10**9), AMOUNTS)
def test_the_ticks_of_a_session_cost_what_its_whole_time_costs(
    ticks: list[int], amount: int, per: int, fee: int
) -> None:
    prices = [
        {"unit": "seconds", "amount": amount, "per": per},
        {"unit": "requests", "amount": fee},
        {"unit": "pixels", "amount": 1},
    ]
    plan = Plan.model_validate({"billing": "usage", "prices": prices})
    lines = prices_for(plan, Workload.LIVE_VIDEO_TO_VIDEO, "noop")
    rates = rates_of(lines)
    charged = before = 0
    for part, step in enumerate(ticks, 1):
        tick = price_of(rates, part, before, step)
        assert tick >= 0
        charged += tick
        before += step
    assert charged == amount_of(lines, {Unit.REQUESTS: 1, Unit.MILLISECONDS: sum(ticks)})
