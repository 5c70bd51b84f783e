"""Which pools a request may use: the first rule that matches decides."""

from __future__ import annotations

import pytest

from config.routing import RouteRule
from config.workloads import Workload
from middlewares.tier_routing.fleet import choose_pools

RULES = (
    RouteRule(tier="premium", workload=Workload.LLM, model="llama", pool="llama", fallback=("fast", "any")),
    RouteRule(tier="premium", pool="fast", fallback=("any",)),
    RouteRule(workload=Workload.TRANSCODING, pool="video"),
    RouteRule(model="echo", pool="workers"),
)


@pytest.mark.parametrize(
    ("tier", "workload", "model", "pools"),
    [
        ("premium", Workload.LLM, "llama", ("llama", "fast", "any")),
        ("premium", Workload.LLM, "other", ("fast", "any")),
        ("premium", Workload.LLM, None, ("fast", "any")),
        ("premium", Workload.TRANSCODING, None, ("fast", "any")),
        ("standard", Workload.TRANSCODING, None, ("video",)),
        ("standard", Workload.BYOC, "echo", ("workers",)),
        ("standard", Workload.BYOC, "Echo", ()),
        ("standard", Workload.LLM, "llama", ()),
        ("", Workload.LLM, "", ()),
    ],
)
def test_the_first_rule_that_matches_decides(
    tier: str, workload: Workload, model: str | None, pools: tuple[str, ...]
) -> None:
    assert choose_pools(RULES, tier, workload, model) == pools


def test_a_rule_without_conditions_takes_everything() -> None:
    for workload in Workload:
        assert choose_pools([RouteRule(pool="only")], "any", workload, "any") == ("only",)


def test_without_rules_nothing_is_served() -> None:
    assert choose_pools([], "standard", Workload.LLM, "m") == ()
