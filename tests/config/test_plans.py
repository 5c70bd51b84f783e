"""Plans: the built-in ones, and the rules between billing model, prices, fee, allowances and caps."""

import pytest

from config.limits import Limit
from config.loader import load
from config.plans import BUILT_IN_PLANS, Billing, Plan
from tests.config.conftest import Problems, Write


def test_built_in_plans() -> None:
    expected = {"free": ("standard", 10, 1), "standard": ("standard", 60, 5), "premium": ("premium", 300, 20)}
    for name, (tier, minute, concurrent) in expected.items():
        plan = BUILT_IN_PLANS[name]
        assert plan.tier == tier
        assert plan.limits.app.requests_per_minute == Limit(max=minute, shadow=False)
        assert plan.limits.app.concurrent == Limit(max=concurrent, shadow=False)
    unlimited = BUILT_IN_PLANS["unlimited"]
    assert unlimited.limits == Plan().limits
    assert set(BUILT_IN_PLANS) == {*expected, "unlimited"}
    assert all((plan.billing, plan.prices, plan.fee) == (Billing.FREE, (), 0) for plan in BUILT_IN_PLANS.values())


def test_a_plan_of_the_file_joins_or_replaces_the_built_in_ones(write: Write) -> None:
    plans = load(write("plans: {free: {tier: slow}, gold: {}}")).all_plans()
    assert set(plans) == {*BUILT_IN_PLANS, "gold"}
    assert plans["free"].tier == "slow"


def test_a_limit_may_be_written_short_or_long(write: Write) -> None:
    text = "plans: {a: {limits: {global: {requests_per_day: 5, concurrent: {max: '6', shadow: true}}}}}"
    limits = load(write(text)).plans["a"].limits.everyone
    assert limits.requests_per_day == Limit(max=5, shadow=False)
    assert limits.concurrent == Limit(max=6, shadow=True)


def test_amounts_are_exact(write: Write) -> None:
    most = 10**27
    text = f"plans: {{a: {{billing: subscription, fee: {most}, holds: {{ceiling: '{most - 1}'}}}}}}"
    plan = load(write(text)).plans["a"]
    assert (plan.fee, plan.holds.ceiling) == (most, most - 1)


def test_a_change_of_anything_changes_the_version(write: Write) -> None:
    plans = load(write("plans: {a: {tier: x}, b: {tier: y}, c: {tier: x}}")).plans
    assert plans["a"].version == plans["c"].version != plans["b"].version
    assert len(plans["a"].version) == 8


@pytest.mark.parametrize(
    ("plan", "path", "words"),
    [
        ("fee: 1", "fee", "billing model `subscription`"),
        ("billing: usage, fee: 1, prices: [{unit: pixels, amount: 1}]", "fee", "billing model `subscription`"),
        ("billing: subscription, fee: 1.0", "fee", "whole number"),
        ("billing: subscription, fee: 1e18", "fee", "valid integer"),
        ("billing: subscription, fee: -1", "fee", "greater than or equal to 0"),
        ("billing: subscription, fee: 1" + "0" * 28, "fee", "less than or equal to"),
        ("prices: [{unit: pixels, amount: 1}]", "prices", "a free plan has no prices"),
        ("billing: usage", "prices", "give at least one"),
        ("billing: credits", "prices", "give at least one"),
        ("billing: barter", "billing", "'free'"),
        ("billing: per_request, prices: [{unit: pixels, amount: 1}]", "prices.0.unit", "sells `requests`"),
        ("billing: per_minute, prices: [{unit: requests, amount: 1}]", "prices.0.unit", "`minutes` or `seconds`"),
        ("billing: usage, prices: [{unit: amount, amount: 1}]", "prices.0.unit", "is money"),
        ("billing: usage, prices: [{unit: pixels, amount: 1, per: 0}]", "prices.0.per", "greater than or equal to 1"),
        ("billing: usage, prices: [{unit: pixels, amount: 1, model: m}]", "prices.0.model", "name its workload"),
        ("billing: usage, prices: [{unit: pixels, amount: true}]", "prices.0.amount", "whole number"),
        (
            "billing: usage, prices: [{unit: pixels, amount: 1}, {unit: pixels, amount: 2}]",
            "prices.1",
            "as entry 0; keep one",
        ),
        (
            "billing: subscription, allowances: [{unit: tokens, per: day, included: 5}]",
            "allowances.0.unit",
            "changes nothing",
        ),
        (
            "billing: subscription, prices: [{unit: pixels, amount: 1}],"
            " allowances: [{unit: pixels, per: day, included: 5}, {unit: pixels, per: month, included: 9}]",
            "allowances.1",
            "as entry 0; keep one",
        ),
        ("billing: subscription, allowances: [{unit: pixels, included: 5}]", "allowances.0.per", "is missing"),
        ("billing: subscription, allowances: [{unit: amount, per: day, included: 0}]", "allowances.0.included", "0"),
        ("limits: {key: {caps: [{unit: pixels, max: 1}]}}", "limits.key.caps.0.per", "is missing"),
        ("limits: {key: {caps: [{unit: pixels, per: year, max: 1}]}}", "limits.key.caps.0.per", "'day' or 'month'"),
        ("limits: {key: {caps: [{unit: hours, per: day, max: 1}]}}", "limits.key.caps.0.unit", "'minutes'"),
        (
            "limits: {user: {caps: [{unit: pixels, per: day, max: 1}, {unit: pixels, per: day, max: 2}]}}",
            "limits.user.caps.1",
            "as entry 0; keep one",
        ),
        ("limits: {app: {concurrent: 1.5}}", "limits.app.concurrent", "whole number"),
        ("limits: {app: {concurrent: many}}", "limits.app.concurrent", "valid integer"),
        ("limits: {app: {concurrent: {max: 0}}}", "limits.app.concurrent.max", "greater than 0"),
        ("limits: {app: {concurrent: {shadow: true}}}", "limits.app.concurrent.max", "is missing"),
        ("fallbacks: [{pool: default, limits: {}}]", "fallbacks.0.limits", "would not be limited"),
        ("fallbacks: [{pool: default}]", "fallbacks.0.limits", "is missing"),
        ("fallbacks: [{limits: {app: {concurrent: 1}}}]", "fallbacks.0.model", "name one of them"),
        ("fallbacks: [{model: m, limits: {app: {concurrent: 1}}}]", "fallbacks.0.workload", "one of a workload"),
        (
            "fallbacks: [{workload: llm, model: 'm\\u00e9', limits: {app: {concurrent: 1}}}]".replace("'", '"'),
            "fallbacks.0.model",
            "must match",
        ),
        (
            "fallbacks: [{pool: default, limits: {app: {concurrent: 1}}, instead_of: [forbidden]}]",
            "fallbacks.0.instead_of.0",
            "'rate_limited'",
        ),
        (
            "fallbacks: [{pool: default, limits: {app: {concurrent: 1}}}, "
            "{pool: default, limits: {app: {concurrent: 2}}}]",
            "fallbacks.1",
            "as entry 0; keep one",
        ),
        ("currency: USD", "currency", "is USD, but the deployment counts in ETH"),
        ("on_orphan: forget", "on_orphan", "'estimate'"),
        ("holds: {ceiling: -1}", "holds.ceiling", "greater than or equal to 0"),
    ],
)
def test_what_a_plan_may_not_say(problems: Problems, plan: str, path: str, words: str) -> None:
    found = problems(f"plans: {{gold: {{{plan}}}}}")
    assert list(found) == [f"plans.gold.{path}"]
    assert words in found[f"plans.gold.{path}"]


def test_a_currency_mismatch_is_reported_beside_the_errors_of_other_plans(problems: Problems) -> None:
    text = "currency: {code: USD, decimals: 6}\nplans: {a: {currency: ETH}, b: {fee: -1}, c: {currency: USD}}"
    assert set(problems(text)) == {"plans.a.currency", "plans.b.fee"}


def test_an_allowance_in_money_covers_what_the_others_leave(write: Write) -> None:
    text = """
plans:
  a:
    billing: subscription
    prices: [{unit: pixels, amount: 1}]
    allowances:
      - {unit: amount, per: month, included: 100}
      - {unit: pixels, per: month, included: 5}
      - {unit: requests, per: day, included: 5, overage: refuse}
"""
    assert [each.unit for each in load(write(text)).plans["a"].allowances] == ["pixels", "requests", "amount"]


@pytest.mark.parametrize("value", ["2026-01-01", ".nan", ".inf", "!!binary aGk=", "!!set {x}", "[{b: 2026-01-01}]"])
def test_parameters_of_streams_that_json_cannot_hold_fail_before_a_stream_does(problems: Problems, value: str) -> None:
    found = problems(f"plans: {{a: {{live: {{parameters: {{since: {value}}}}}}}}}")
    assert found == {
        "plans.a.live.parameters": "must be what JSON has: text, numbers, lists, mappings; put dates in quotes"
    }


def test_parameters_of_streams_that_hold_themselves_are_refused(problems: Problems) -> None:
    assert list(problems("plans: {a: {live: {parameters: &loop {again: *loop}}}}")) == ["plans.a.live.parameters"]


def test_a_misspelt_plan_of_the_catalog_is_not_left_out_of_it(problems: Problems) -> None:
    found = problems("plans: {gold: {}}\ncontrol: {catalog: {plans: [gold, glod]}}")
    plans = "free, gold, premium, standard, unlimited"
    assert found == {"control.catalog.plans.1": f"is no plan; plans are {plans}"}
