"""Pools, rules and timeouts: which combinations are accepted."""

import pytest

from config.loader import load
from config.routing import GatewayTimeouts
from config.workloads import Workload
from tests.config.conftest import Problems, Write

TWO_POOLS = "pools: {a: {gateways: [{url: 'http://a:1'}]}, b: {gateways: [{url: 'http://b:2/'}]}}"


@pytest.mark.parametrize(
    ("routing", "path", "words"),
    [
        (TWO_POOLS, "rules", "several pools need rules"),
        (f"{TWO_POOLS}, rules: [{{pool: c}}]", "rules.0.pool", "no pool named 'c'"),
        (f"{TWO_POOLS}, rules: [{{pool: a}}, {{pool: a, fallback: [b, d]}}]", "rules.1.fallback.1", "named 'd'"),
        ("rules: [{pool: default}]", "rules.0.pool", "no pool named 'default'"),
        ("rules: [{tier: x}]", "rules.0.pool", "is missing"),
        (f"{TWO_POOLS}, rules: [{{pool: a, workload: knitting}}]", "rules.0.workload", "'text-to-image'"),
        ("pools: {a: {gateways: []}}", "pools.a.gateways", "must not be empty"),
        ("pools: {a: {}}", "pools.a.gateways", "is missing"),
        ("pools: {a: {gateways: [{url: 'https://u:p@host'}]}}", "pools.a.gateways.0.url", "no path, query or user"),
        ("pools: {a: {gateways: [{url: 'http://host:port'}]}}", "pools.a.gateways.0.url", "ort"),
        ("pools: {a: {gateways: [{url: 'http://['}]}}", "pools.a.gateways.0.url", "IPv6"),
    ],
)
def test_what_does_not_fit(problems: Problems, routing: str, path: str, words: str) -> None:
    found = problems(f"routing: {{{routing}}}")
    assert list(found) == [f"routing.{path}"]
    assert words in found[f"routing.{path}"]


def test_one_gateway_or_pools_but_not_both(problems: Problems) -> None:
    found = problems("gateway_url: http://a:1\nrouting: {pools: {a: {gateways: [{url: 'http://b:2'}]}}}")
    assert found == {"routing.pools": "gateway_url names a gateway as well; keep one of the two"}


def test_a_slash_at_the_end_of_an_origin_is_dropped(write: Write) -> None:
    settings = load(write(f"routing: {{{TWO_POOLS}, rules: [{{pool: a}}]}}"))
    assert settings.routing.pools["b"].gateways[0].url == "http://b:2"


def test_timeouts_by_workload(write: Write) -> None:
    routing = load(write("routing: {timeouts: {llm: {first_byte: 7}}}")).routing
    assert routing.timeouts_of(Workload.LLM).first_byte == 7
    assert routing.timeouts_of(Workload.IMAGE_TO_VIDEO).first_byte == 1_200
    assert routing.timeouts_of(Workload.UPSCALE) == GatewayTimeouts()


def test_a_plan_may_fall_back_only_to_a_pool_that_there_is(problems: Problems, write: Write) -> None:
    plans = "plans: {a: {fallbacks: [{pool: {pool}, limits: {app: {concurrent: 1}}}]}}"
    assert problems(plans.replace("{pool}", "c")) == {
        "routing.pools": "has none named 'c', which plan 'a' falls back to"
    }
    assert load(write(plans.replace("{pool}", "default"))).plans["a"].fallbacks


def test_hints_of_a_misspelt_tier_are_not_ignored(problems: Problems) -> None:
    found = problems("plans: {gold: {tier: fast}}\nrouting: {tiers: {fast: {}, fats: {}}}")
    assert found == {"routing.tiers.fats": "is no tier; tiers are fast, premium, standard"}


@pytest.mark.parametrize("rules", ["{tier: premium, pool: a}", "{tier: premium, pool: a}, {tier: fats, pool: b}"])
def test_a_plan_whose_tier_no_rule_serves_is_refused(problems: Problems, rules: str) -> None:
    """Hazard: every request of the plan's customers is refused, and nobody was told."""
    found = problems(
        f"plans: {{gold: {{tier: fast}}, old: {{tier: fast}}}}\nrouting: {{{TWO_POOLS}, rules: [{rules}]}}"
    )
    assert found == {
        "routing.rules": "none is for tier 'fast', of plan gold, old, whose requests would all be refused; add a rule "
        "with that tier, or a last one without any"
    }


@pytest.mark.parametrize(
    "rules", ["{tier: fast, pool: a}", "{tier: premium, pool: a}, {pool: b}", "{model: m, pool: a}"]
)
def test_a_plan_whose_tier_some_rule_may_serve_is_taken(write: Write, rules: str) -> None:
    assert (
        load(write(f"plans: {{gold: {{tier: fast}}}}\nrouting: {{{TWO_POOLS}, rules: [{rules}]}}")).plans["gold"].tier
        == "fast"
    )


def test_without_rules_the_only_pool_serves_every_tier(write: Write) -> None:
    assert load(write("plans: {gold: {tier: fast}}")).plans["gold"].tier == "fast"
