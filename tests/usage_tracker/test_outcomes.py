"""What work costs that did not end well: by plan, and by workload where the plan says so."""

from __future__ import annotations

from typing import Any

import pytest

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.exchange import Declaration, Exchange, Outcome
from middlewares.ledger.model import Provenance, Usage
from middlewares.routes import BY_NAME
from middlewares.usage_tracker.meters import meter_for
from middlewares.usage_tracker.settlement import caused_usage, causes_all, charged_usage

PARTIAL = Usage({Unit.OUTPUT_TOKENS: 7}, {Unit.OUTPUT_TOKENS: Provenance.UPSTREAM}, complete=False)
ZERO = Usage({Unit.OUTPUT_TOKENS: 0}, {Unit.OUTPUT_TOKENS: Provenance.UPSTREAM})
BOUND = {Unit.OUTPUT_TOKENS: 100}
NOTHING = Usage(complete=False)
ESTIMATE = Usage(BOUND, {Unit.OUTPUT_TOKENS: Provenance.ESTIMATED}, complete=False)
LEFT, FAILED = Outcome.CLIENT_DISCONNECT, Outcome.UPSTREAM_ERROR


CAUSED = Usage({Unit.OUTPUT_TOKENS: 50}, {Unit.OUTPUT_TOKENS: Provenance.ESTIMATED}, complete=False)


def charged(
    outcome: Outcome, workload: Workload = Workload.LLM, usage: Usage = PARTIAL, *, answered: bool = True, **plan: Any
) -> Usage:
    """What counts under a plan with these keys."""
    return charged_usage(Plan.model_validate(plan), workload, outcome, usage, BOUND, responded=answered)


@pytest.mark.parametrize(
    ("outcome", "plan", "expected"),
    [
        (LEFT, {}, PARTIAL),
        (LEFT, {"on_disconnect": "estimate"}, ESTIMATE),
        (LEFT, {"on_disconnect": "free"}, NOTHING),
        (FAILED, {}, NOTHING),
        (FAILED, {"on_upstream_error": "measured"}, PARTIAL),
        (Outcome.GATE_SHUTDOWN, {}, NOTHING),
        (Outcome.REFUSED, {"on_disconnect": "free"}, NOTHING),
        (Outcome.COMPLETE, {"on_disconnect": "free"}, PARTIAL),
    ],
)
def test_rule_of_the_plan(outcome: Outcome, plan: dict[str, Any], expected: Usage) -> None:
    assert charged(outcome, **plan) == expected


def test_rule_of_a_workload_stands_before_that_of_the_plan() -> None:
    plan: dict[str, Any] = {
        "on_disconnect": "free",
        "outcomes": {"llm": {"on_disconnect": "estimate"}, "byoc": {"on_upstream_error": "measured"}},
    }
    assert charged(LEFT, **plan) == ESTIMATE
    assert charged(LEFT, Workload.BYOC, **plan) == NOTHING
    assert charged(FAILED, **plan) == NOTHING
    assert charged(FAILED, Workload.BYOC, **plan) == PARTIAL


@pytest.mark.parametrize("outcome", [LEFT, FAILED, Outcome.COMPLETE])
def test_an_explicit_zero_is_zero(outcome: Outcome) -> None:
    assert charged(outcome, usage=ZERO, on_upstream_error="measured") == ZERO


def test_a_gateway_that_never_answered_has_delivered_nothing() -> None:
    assert charged(FAILED, answered=False, on_upstream_error="measured") == NOTHING


@pytest.mark.parametrize(("rule", "expected"), [({}, CAUSED), ({"on_disconnect": "measured"}, PARTIAL)])
def test_leaving_before_a_plain_response_costs_what_was_caused(rule: dict[str, Any], expected: Usage) -> None:
    plan = Plan.model_validate(rule)
    assert charged_usage(plan, Workload.LLM, LEFT, PARTIAL, BOUND, responded=False, caused=CAUSED) == expected


def left_exchange(route: str, document: dict[str, object] | None = None) -> Exchange:
    """Return an exchange whose client has sent everything and left before the response."""
    exchange = Exchange("id", 0.0, "POST", "/", route=BY_NAME[route])
    exchange.declared = Declaration(model="m", units={Unit.OUTPUT_TOKENS: 50}, document=document or {})
    exchange.body_passed = exchange.forwarded = True
    return exchange


def test_only_a_whole_request_for_a_plain_response_causes_work_to_its_end() -> None:
    assert causes_all(left_exchange("text-to-image"))
    assert causes_all(left_exchange("llm", {"stream": False}))
    assert not causes_all(left_exchange("llm", {"stream": True}))
    assert not causes_all(left_exchange("byoc-request"))
    assert not causes_all(left_exchange("playback"))
    half, failed = left_exchange("text-to-image"), left_exchange("text-to-image")
    half.body_passed, failed.gateway_status = False, 500
    assert not causes_all(half)
    assert not causes_all(failed)


def test_what_was_caused_is_what_a_success_would_have_cost() -> None:
    exchange = left_exchange("text-to-image", {"width": 64, "height": 64, "num_images_per_prompt": 2})
    usage = caused_usage(meter_for(exchange))
    assert usage.units == {Unit.REQUESTS: 1, Unit.GENERATIONS: 2, Unit.PIXELS: 64 * 64 * 2}
    assert set(usage.provenance.values()) == {Provenance.ESTIMATED}
    assert not usage.complete
    assert caused_usage(meter_for(left_exchange("llm"))).units == {Unit.REQUESTS: 1, Unit.OUTPUT_TOKENS: 50}
