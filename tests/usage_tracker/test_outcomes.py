"""What work costs that did not end well: by plan, and by workload where the plan says so."""

from __future__ import annotations

from typing import Any

import pytest

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.exchange import Outcome
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.settlement import charged_usage

PARTIAL = Usage({Unit.OUTPUT_TOKENS: 7}, {Unit.OUTPUT_TOKENS: Provenance.UPSTREAM}, complete=False)
ZERO = Usage({Unit.OUTPUT_TOKENS: 0}, {Unit.OUTPUT_TOKENS: Provenance.UPSTREAM})
BOUND = {Unit.OUTPUT_TOKENS: 100}
NOTHING = Usage(complete=False)
ESTIMATE = Usage(BOUND, {Unit.OUTPUT_TOKENS: Provenance.ESTIMATED}, complete=False)
LEFT, FAILED = Outcome.CLIENT_DISCONNECT, Outcome.UPSTREAM_ERROR


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
