"""Plans in force, and what a month would have cost under another: to the unit what its prices make of it."""

from __future__ import annotations

import json

import pytest

from config.plans import Billing, Plan
from middlewares.auth.records import Role
from proxy.portal.operator.plans import PAID
from proxy.reporting.house.what_if import what_if
from proxy.reporting.totals import Breakdown, Dimension, UsageTotal
from tests.portal.browser import as_shown, text_of
from tests.portal.conftest import PRICE
from tests.portal.operator.conftest import HOME, House

pytestmark = pytest.mark.asyncio(loop_scope="package")

PLANS = f"{HOME}/plans"


async def test_plans_are_those_of_the_command(house: House) -> None:
    _, text, _ = await house.deployment.cli("plans", "--json")
    shown = text_of(await house.by(Role.VIEWER).page(PLANS))
    for plan in json.loads(text):
        assert plan["name"] in shown
        assert plan["version"] in shown


@pytest.mark.slow
async def test_the_same_plan_makes_what_the_ledger_charged(house: House) -> None:
    mine, browser = house.tenant, house.by(Role.VIEWER)
    _, text, _ = await house.deployment.cli("usage", "--app", mine.app, "--json")
    usage = json.loads(text)
    month, amount = usage["from"][:7], int(usage["totals"]["amount"])
    assert amount >= 5 * PRICE
    same = text_of(await browser.page(f"{PLANS}/what-if", app=mine.app, month=month, plan="portal"))
    assert f"Usage did cost {as_shown(amount)}" in same
    assert f"Usage would have cost {as_shown(amount)} exactly" in same
    units = usage["totals"]["units"]
    expected = -(-units["generations"] * 3 // 7) + units.get("pixels", 0) * 5
    other = text_of(await browser.page(f"{PLANS}/what-if", app=mine.app, month=month, plan="other"))
    assert (
        f"Usage would have cost {as_shown(expected)} and up to {as_shown(usage['totals']['request_count'])} more"
        in other
    )
    assert f"Fee of other {as_shown(2 * 11)}" in other, "of the app itself and of its user"
    free = text_of(await browser.page(f"{PLANS}/what-if", app=mine.app, month=month, plan="free"))
    assert f"Usage would have cost {as_shown(0)} exactly" in free
    nothing = text_of(await browser.page(f"{PLANS}/what-if", app=mine.app, month="2020-01", plan="other"))
    assert "The app used nothing in this month" in nothing


async def test_what_names_nothing_is_refused(house: House) -> None:
    good = {"app": house.tenant.app, "month": "2026-11", "plan": "free"}
    for wrong in ({"app": "x"}, {"month": "2026-13"}, {"month": "2026"}, {"plan": "<b>"}):
        assert (await house.by(Role.VIEWER).get(f"{PLANS}/what-if", **{**good, **wrong})).status_code == 400, wrong
    stranger = {**good, "app": f"app_{'a' * 16}"}
    assert (await house.by(Role.VIEWER).get(f"{PLANS}/what-if", **stranger)).status_code == 404


async def test_rounding_and_what_is_included_are_bounds() -> None:
    prices = [{"unit": "tokens", "amount": 10, "per": 1_000}, {"unit": "requests", "amount": 2}]
    included = {"unit": "tokens", "per": "month", "included": 5}
    usage = Breakdown((Dimension.WORKLOAD, Dimension.MODEL))
    usage.groups["llm", "m"] = UsageTotal(3, {"input_tokens": 101, "output_tokens": 50}, 7)
    for extra, at_most in (({}, True), ({"allowances": [included]}, True), ({"prices": prices[:1]}, False)):
        plan = Plan.model_validate({"billing": "usage", "prices": prices, **extra})
        found = what_if(plan, usage, 1)
        assert (found.amount, found.rounding, found.at_most) == (2 + (0 if "prices" in extra else 6), 3, at_most)


async def test_names_of_another_version_fail_nothing() -> None:
    """Hazard: a rollback leaves work and units in the running totals that this version does not know."""
    prices = [{"unit": "tokens", "amount": 2}, {"workload": "llm", "unit": "requests", "amount": 9}]
    usage = Breakdown((Dimension.WORKLOAD, Dimension.MODEL))
    usage.groups["of-tomorrow", ""] = UsageTotal(3, {"input_tokens": 5, "frames": 7}, 7)
    found = what_if(Plan.model_validate({"billing": "usage", "prices": prices}), usage, 1)
    assert [(each.workload, each.amount) for each in found.lines] == [("of-tomorrow", 10)]


async def test_every_way_to_pay_has_words(house: House) -> None:
    assert set(PAID) == set(Billing)
    shown = text_of(await house.by(Role.VIEWER).page(PLANS))
    assert "Paid Not at all" in shown
    assert "Paid By credits, in advance" in shown
