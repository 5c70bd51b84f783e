"""Prices, line by line: they add up to what the ledger charged, whatever the event is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.plans import Plan
from config.workloads import SaleUnit, Unit, Workload
from middlewares.ledger.admission.pricing import amount_of, prices_for
from middlewares.ledger.sessions.session import price_of, rates_of, units_of
from proxy.reporting.explain.prices import EventPrice, estimate_lines, event_prices
from proxy.reporting.stream import RecordedEvent
from tests.history.fakes import event

NAME = "plan@1"
BYOC = Workload.BYOC
ONE_SECOND = {Unit.REQUESTS: 1, Unit.MILLISECONDS: 1_000}


def plan_of(prices: list[dict[str, Any]], **members: Any) -> Plan:
    return Plan.model_validate({"billing": "usage", "prices": prices, **members})


PER_SECOND = plan_of([{"unit": "seconds", "amount": 7}, {"unit": "requests", "amount": 100}])


def recorded(amount: int, units: dict[Unit, int], **members: Any) -> RecordedEvent:
    return RecordedEvent(event(plan=NAME, workload=BYOC, units=units, **members), str(amount))


def priced(*events: RecordedEvent, plan: Plan | None = PER_SECOND) -> list[EventPrice]:
    return event_prices(events, {NAME: plan})


def lines(price: EventPrice) -> list[tuple[str, int]]:
    return [(each.what, int(each.amount)) for each in price.lines]


def test_a_request_has_a_line_for_each_price() -> None:
    [price] = priced(recorded(108, {Unit.REQUESTS: 1, Unit.MILLISECONDS: 1_001}))
    assert (lines(price), price.agrees) == ([("seconds", 8), ("requests", 100)], True)
    seconds = price.lines[0]
    assert (seconds.quantity, seconds.price, seconds.per) == ("1001", "7", "1000")


def test_a_price_that_is_not_that_of_its_plan_is_said() -> None:
    [price] = priced(recorded(109, ONE_SECOND))
    assert price.agrees is False


def test_a_plan_that_nobody_knows_is_said() -> None:
    assert priced(recorded(107, ONE_SECOND), plan=None) == [EventPrice([], None)]


def test_work_that_is_not_charged_has_no_lines() -> None:
    assert priced(recorded(0, {}, outcome="upstream_error")) == [EventPrice([], True)]


def test_what_an_allowance_pays_is_a_line_within_bounds() -> None:
    allowances = [{"unit": "seconds", "per": "month", "included": 60}]
    plan = plan_of([{"unit": "seconds", "amount": 7}, {"unit": "requests", "amount": 100}], allowances=allowances)
    [price] = priced(recorded(100, ONE_SECOND), plan=plan)
    assert (lines(price), price.agrees) == ([("seconds", 7), ("requests", 100), ("included", -7)], True)
    [partly] = priced(recorded(103, ONE_SECOND), plan=plan)
    assert (lines(partly)[-1], partly.agrees) == (("included", -4), True)
    for impossible in (99, 108):
        [price] = priced(recorded(impossible, ONE_SECOND), plan=plan)
        assert price.agrees is False
    money = plan_of([{"unit": "requests", "amount": 100}], allowances=[{"unit": "amount", "per": "day", "included": 1}])
    [price] = priced(recorded(0, ONE_SECOND), plan=money)
    assert (lines(price), price.agrees) == ([("requests", 100), ("included", -100)], True)


def test_an_orphan_is_charged_its_hold_until_its_true_usage_is_known() -> None:
    orphan = recorded(500, {Unit.REQUESTS: 1, Unit.MILLISECONDS: 90_000}, outcome="orphaned")
    late = recorded(107 - 500, {Unit.REQUESTS: 0, Unit.MILLISECONDS: -89_000}, type="adjustment")
    alone, (hold, adjusted) = priced(orphan), priced(orphan, late)
    assert alone == [hold]
    assert lines(hold) == [("hold", 500)]
    assert (lines(adjusted), adjusted.agrees) == ([("seconds", 7), ("requests", 100), ("hold returned", -500)], True)


def test_an_orphan_that_cost_nothing_is_adjusted_likewise() -> None:
    late = recorded(107, ONE_SECOND, type="adjustment")
    hold, adjusted = priced(recorded(0, {}, outcome="orphaned"), late)
    assert (lines(hold), lines(adjusted), adjusted.agrees) == ([], [("seconds", 7), ("requests", 100)], True)


def test_a_decision_is_a_line() -> None:
    decided = recorded(-107, {}, type="adjustment", id="r-resolution", outcome="refund")
    first, decision = priced(recorded(107, ONE_SECOND), decided)
    assert first.agrees is True
    assert (lines(decision), decision.agrees) == ([("decision", -107)], True)


def test_credits_have_no_price() -> None:
    granted = event(type="credit", workload=None, units={}, plan="")
    assert priced(RecordedEvent(granted, "5")) == [EventPrice([], True)]


@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=12), st.integers(0, 10**20), st.integers(1, 90))
def test_ticks_of_a_stream_add_up_as_they_were_charged(ticks: list[int], amount: int, per: int) -> None:
    plan = plan_of([{"unit": "seconds", "amount": amount, "per": per}, {"unit": "requests", "amount": 100}])
    rates, before, events = rates_of(prices_for(plan, BYOC, "m")), 0, []
    for part, lived in enumerate(ticks, 1):
        events.append(recorded(price_of(rates, part, before, lived), units_of(part, lived), part=part))
        before += lived
    found = priced(*events, plan=plan)
    assert all(each.agrees for each in found)
    total = amount_of(prices_for(plan, BYOC, "m"), {Unit.REQUESTS: 1, Unit.MILLISECONDS: before})
    assert sum(number for each in found for _, number in lines(each)) == total


SOLD = st.sampled_from([unit for unit in SaleUnit if unit is not SaleUnit.AMOUNT])
PRICES = st.dictionaries(SOLD, st.tuples(st.integers(0, 10**27), st.integers(1, 10**9)), min_size=1)
UNITS = st.dictionaries(st.sampled_from(list(Unit)), st.integers(0, 2**48))


@pytest.mark.ci
@given(PRICES, UNITS)
def test_any_price_of_any_usage_is_explained_to_the_unit(
    prices: dict[SaleUnit, tuple[int, int]], units: dict[Unit, int]
) -> None:
    plan = plan_of([{"unit": unit, "amount": amount, "per": per} for unit, (amount, per) in prices.items()])
    charged = amount_of(prices_for(plan, BYOC, "m"), units)
    [price] = priced(recorded(charged, units), plan=plan)
    assert price.agrees is True
    assert sum(number for _, number in lines(price)) == charged


def test_the_estimate_of_a_hold_says_what_its_bounds_did() -> None:
    found = estimate_lines(PER_SECOND, BYOC, "m", ONE_SECOND, 50)
    assert [(each.what, each.amount) for each in found] == [("seconds", "7"), ("requests", "100"), ("bounds", "-57")]
    assert estimate_lines(None, BYOC, "m", ONE_SECOND, 50) == []
