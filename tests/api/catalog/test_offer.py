"""Hazards: a catalog that offers what is not there, or says another price than is charged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.plans import BUILT_IN_PLANS, Plan
from config.prices import Price
from config.runtime import Currency
from config.settings import Settings
from config.workloads import Workload
from middlewares.routes import ROUTES
from middlewares.tier_routing.fleet import Fleet
from proxy.api.catalog.data_schema import data_schema
from proxy.api.catalog.llms import llms_text
from proxy.api.catalog.models import Availability, Catalog, TierCapability
from proxy.api.catalog.offer import OFFERED, Offer
from proxy.api.catalog.plans import money, plan_view, price_in_words

ONE, TWO, THREE = (f"http://127.0.0.1:{port}" for port in (1, 2, 3))
SETTINGS: dict[str, Any] = {
    "routing": {
        "pools": {
            "fast": {"gateways": [{"url": ONE}, {"url": TWO}]},
            "slow": {"gateways": [{"url": THREE}]},
        },
        "rules": [
            {"tier": "premium", "workload": "llm", "model": "big", "pool": "fast"},
            {"tier": "premium", "pool": "fast", "fallback": ["slow"]},
            {"tier": "standard", "workload": "llm", "pool": "slow"},
        ],
    },
    "plans": {
        "pro": {
            "billing": "usage",
            "tier": "premium",
            "prices": [
                {"workload": "llm", "model": "small", "unit": "output_tokens", "amount": 3, "per": 1000},
                {"unit": "requests", "amount": 10**15},
            ],
        }
    },
}


def offer_of(**control: Any) -> tuple[Offer, Fleet]:
    settings = Settings.model_validate(SETTINGS | {"control": {"catalog": control}})
    fleet = Fleet(settings.pools())
    return Offer(settings, fleet), fleet


def state(catalog: Catalog, workload: Workload, tier: str, model: str | None = None) -> TierCapability:
    [found] = [each for each in catalog.workloads if each.workload == workload]
    [line] = [each for each in found.capability if (each.tier, each.model) == (tier, model)]
    return line


def eject(fleet: Fleet, *gateways: str) -> None:
    for gateway in gateways:
        while fleet.is_healthy(gateway):
            fleet.record_failure(gateway)


def test_capability_is_what_routing_would_do_now() -> None:
    offer, fleet = offer_of()
    now = state(offer.catalog(), Workload.TEXT_TO_IMAGE, "premium")
    assert (now.availability, now.healthy_gateways, now.gateways) == (Availability.AVAILABLE, 3, 3)
    assert state(offer.catalog(), Workload.TEXT_TO_IMAGE, "standard").availability is Availability.NOT_OFFERED
    assert state(offer.catalog(), Workload.LLM, "standard").availability is Availability.AVAILABLE
    eject(fleet, ONE)
    assert state(offer.catalog(), Workload.LLM, "premium").availability is Availability.AVAILABLE
    eject(fleet, TWO)
    assert state(offer.catalog(), Workload.LLM, "premium").availability is Availability.FALLBACK
    assert state(offer.catalog(), Workload.LLM, "premium", "big").availability is Availability.UNAVAILABLE
    eject(fleet, THREE)
    gone = state(offer.catalog(), Workload.LLM, "premium")
    assert (gone.availability, gone.healthy_gateways, gone.gateways) == (Availability.UNAVAILABLE, 0, 3)
    fleet.record_response(THREE)
    assert state(offer.catalog(), Workload.LLM, "standard").availability is Availability.AVAILABLE


def test_every_workload_that_can_be_begun_is_offered_with_its_routes() -> None:
    catalog = offer_of()[0].catalog()
    shown = {each.workload: {route.name for route in each.routes} for each in catalog.workloads}
    assert set(shown) == {route.workload for route in ROUTES if route.begins_work} == set(OFFERED)
    assert set().union(*shown.values()) == {route.name for route in ROUTES if route.begins_work}
    [llm] = [each for each in catalog.workloads if each.workload == Workload.LLM]
    assert llm.models == ["big", "small"]


def test_an_operator_chooses_the_plans_and_an_app_sees_its_own() -> None:
    offer, _ = offer_of(plans=["pro"])
    assert [plan.name for plan in offer.catalog().plans] == ["pro"]
    assert {plan.name for plan in offer.catalog("free").plans} == {"pro", "free"}
    assert {plan.name for plan in offer_of()[0].catalog().plans} == {*BUILT_IN_PLANS, "pro"}


def test_no_internal_name_is_in_the_catalog() -> None:
    text = offer_of()[0].catalog().model_dump_json()
    for internal in ("127.0.0.1", "fast", "slow", "on_orphan", "byoc_include"):
        assert internal not in text


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ({"unit": "output_tokens", "amount": 3, "per": 1000}, "0.003 USD per 1,000,000 output tokens"),
        ({"unit": "pixels", "amount": 1, "per": 3}, "0.000001 USD per 3 pixels"),
        ({"unit": "minutes", "amount": 1_500_000}, "1.5 USD per minute"),
        ({"unit": "seconds", "amount": 120, "per": 60}, "0.000002 USD per second"),
        ({"unit": "characters", "amount": 2}, "0.002 USD per 1,000 characters"),
        ({"unit": "requests", "amount": 10**27}, f"{10**21} USD per request"),
        ({"unit": "requests", "amount": 0}, "0 USD per request"),
    ],
)
def test_a_price_in_words_is_exact(price: dict[str, Any], words: str) -> None:
    assert price_in_words(Price.model_validate(price), Currency(code="USD", decimals=6)) == words


def test_a_limit_in_shadow_mode_is_no_limit() -> None:
    plan = Plan.model_validate(
        {
            "billing": "subscription",
            "fee": 5_000_000,
            "limits": {
                "app": {"requests_per_minute": 60, "concurrent": {"max": 5, "shadow": True}},
                "key": {"requests_per_day": {"max": 1, "shadow": True}},
                "user": {"caps": [{"unit": "amount", "per": "month", "max": 10**27}]},
            },
        }
    )
    view = plan_view("p", plan, Currency(code="USD", decimals=6))
    by_scope = {each.scope: each for each in view.limits}
    assert set(by_scope) == {"app", "user"}
    assert (by_scope["app"].requests_per_minute, by_scope["app"].concurrent) == (60, None)
    assert by_scope["user"].caps[0].max == str(10**27)
    assert view.fee == money(5_000_000, Currency(code="USD", decimals=6))
    assert view.fee.human == "5 USD"


def test_every_client_route_is_in_the_schema_and_nothing_else() -> None:
    schema = data_schema()
    shown = {(path, method) for path, methods in schema["paths"].items() for method in methods}
    listed = {
        (path, method.lower())
        for route in ROUTES
        for path in route.paths
        for method in route.methods.split()
        if method != "OPTIONS"
    }
    assert shown == listed
    operations = [each for methods in schema["paths"].values() for each in methods.values()]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == {part.split("}")[0] for part in path.split("{")[1:]}, path
    for reference in json.dumps(schema).split('"$ref": "#/')[1:]:
        found: Any = schema
        for step in reference.split('"')[0].split("/"):
            found = found[step]
    assert {name for each in schema["security"] for name in each} == set(schema["components"]["securitySchemes"])


def test_prices_are_in_the_text_only_where_the_catalog_is_public() -> None:
    offer, _ = offer_of()
    shown, hidden = llms_text(offer.catalog(), public=True), llms_text(offer.catalog(), public=False)
    assert "0.001 ETH per request" in shown
    assert "small" in shown
    assert "ETH" not in hidden
    assert "small" not in hidden
    assert hidden.startswith("# Tollgate\n\n> ")
    assert "`POST /llm`" in hidden
