"""What a gateway is sent of the tier: headers of Tollgate's own, and the hints that a stock gateway takes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from config.plans import Plan
from config.routing import Gateway, Pool, Routing, Tier
from middlewares.exchange import Exchange, Job, Principal, Refusal
from middlewares.routes import BY_NAME
from middlewares.tier_routing.fleet import Fleet
from middlewares.tier_routing.hints import live_target
from middlewares.tier_routing.middleware import TierRoutingMiddleware

POOLS = {"only": Pool(gateways=(Gateway(url="http://10.0.0.1:9935"),))}
TIER = Tier(byoc_include=("https://fast:1",), live_orchestrator="fast:1")
PROFILE = {"name": "720p", "width": 1280, "height": 720, "bitrate": 3_000_000}


async def routed(
    route: str, *, plan: Plan, models: frozenset[str] | None = None, job: Job | None = None, pools: Any = POOLS
) -> tuple[Exchange, list[Message], bool]:
    """Return the exchange of a request after the stage, what the stage sent, and whether the request went on."""
    exchange = Exchange("id-1", 0.0, "POST", "/", route=BY_NAME[route], target=b"/path", job=job)
    exchange.principal = Principal("app_a", None, None, "plan", plan, models=models)
    went_on, sent = False, []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal went_on
        went_on = True

    async def receive() -> Message:
        raise AssertionError("nothing of it is read")

    async def send(message: Message) -> None:
        sent.append(message)

    routing = Routing(pools=pools, tiers={"gold": TIER})
    stage = TierRoutingMiddleware(app, routing=routing, fleet=Fleet(pools), models=("m/2", "m/1"))
    await stage({"type": "http", "tollgate.exchange": exchange}, receive, send)
    return exchange, sent, went_on


async def test_every_gateway_is_told_tier_and_app() -> None:
    exchange, _, went_on = await routed("llm", plan=Plan(tier="gold"))
    assert went_on
    assert exchange.headers == [(b"x-tollgate-tier", b"gold"), (b"x-tollgate-app", b"app_a")]
    assert (exchange.tier, exchange.pool, exchange.target) == ("gold", "only", b"/path")


async def test_a_job_is_written_anew_with_the_orchestrators_of_the_tier() -> None:
    job = Job("capability", "{}", {"x": 1}, 30)
    for tier, orchestrators in (("gold", {"include": ["https://fast:1"]}), ("standard", None)):
        exchange, _, _ = await routed("byoc-request", plan=Plan(tier=tier), job=job)
        header = json.loads(base64.b64decode(dict(exchange.headers)[b"livepeer"]))
        parameters = json.loads(header["parameters"])
        assert (header["id"], header["capability"], parameters.pop("x")) == ("id-1", "capability", 1)
        assert parameters == ({"orchestrators": orchestrators} if orchestrators else {})


async def test_a_request_without_a_job_gets_none() -> None:
    exchange, _, _ = await routed("byoc-request", plan=Plan(tier="gold"))
    assert b"livepeer" not in dict(exchange.headers)


@pytest.mark.parametrize(("tier", "target"), [("gold", b"/path?orchestrator=fast%3A1"), ("standard", b"/path")])
async def test_a_live_stream_goes_to_the_orchestrator_of_the_tier(tier: str, target: bytes) -> None:
    exchange, _, _ = await routed("live-whip", plan=Plan(tier=tier))
    assert exchange.target == target


def test_the_orchestrator_of_a_live_stream_joins_its_query() -> None:
    tier = Tier(live_orchestrator="orch.example:8935/a b")
    assert live_target(b"/live/video-to-video/s/whip", Tier()) == b"/live/video-to-video/s/whip"
    assert live_target(b"/whip", tier) == b"/whip?orchestrator=orch.example%3A8935%2Fa%20b"
    assert live_target(b"/whip?a=1", tier) == b"/whip?a=1&orchestrator=orch.example%3A8935%2Fa%20b"


async def test_a_segment_is_transcoded_by_the_profiles_of_the_plan() -> None:
    plan = Plan.model_validate({"transcoding": {"profiles": [PROFILE]}})
    exchange, _, _ = await routed("live-push", plan=plan)
    configuration = json.loads(dict(exchange.headers)[b"livepeer-transcode-configuration"])
    assert [profile["name"] for profile in configuration["profiles"]] == ["720p"]
    exchange, _, _ = await routed("live-push", plan=Plan())
    assert b"livepeer-transcode-configuration" not in dict(exchange.headers)


@pytest.mark.parametrize(
    ("models", "listed"), [(None, ["m/1", "m/2"]), (frozenset({"m/2", "other"}), ["m/2"]), (frozenset({"other"}), [])]
)
async def test_the_list_of_models_has_those_of_the_credential(models: frozenset[str] | None, listed: list[str]) -> None:
    _, (head, body), went_on = await routed("models", plan=Plan(), models=models)
    assert not went_on
    assert head["status"] == 200
    assert [model["id"] for model in json.loads(body["body"])["data"]] == listed


async def test_without_a_gateway_the_request_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        await routed("llm", plan=Plan(), pools={})
    assert (refused.value.status, refused.value.code) == (503, "no_gateway")
    assert refused.value.headers == [(b"retry-after", b"10")]
