"""Segments and BYOC jobs through the whole gate: right unit, right provenance, right price."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from middlewares.ledger.credit.prepaid import grant
from proxy.reporting.verify.verification import verify
from proxy.store.configured import redis_keys
from tests.support.deployment import Customer, Deployment, deployed
from tests.usage_tracker.meters.segments import segment

pytestmark = pytest.mark.asyncio(loop_scope="package")

PROFILES = [
    {"name": "small", "width": 320, "height": 180, "bitrate": 200_000, "fps": 10},
    {"name": "large", "width": 640, "height": 360, "bitrate": 900_000},
]
PRICES = [
    {"workload": "transcoding", "unit": "minutes", "amount": 60_000},
    {"workload": "transcoding", "unit": "pixels", "amount": 1, "per": 1_000_000},
    {"workload": "byoc", "unit": "seconds", "amount": 1_000},
    {"workload": "byoc", "model": "dear", "unit": "seconds", "amount": 1_000_000},
]
PLANS: dict[str, Any] = {
    "plain": {"billing": "usage", "prices": PRICES},
    "ladder": {"billing": "usage", "prices": PRICES, "transcoding": {"profiles": PROFILES}},
    "believing": {"billing": "usage", "prices": PRICES, "transcoding": {"trust_content_duration": True}},
    "prepaid": {"billing": "credits", "prices": PRICES, "limits": {"app": {"concurrent": 1}}},
    "strict": {
        "billing": "usage",
        "prices": PRICES,
        "outcomes": {"byoc": {"on_upstream_error": "measured", "on_disconnect": "free"}},
    },
}
MULTIPART = {"accept": "multipart/mixed"}
P240_AND_P360 = (426 * 240 + 640 * 360) * 30


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def timed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A gate whose plans sell time."""
    async with deployed(tmp_path_factory.mktemp("timed"), {"plans": PLANS, "workers": 2}) as gate:
        yield gate


@pytest_asyncio.fixture(loop_scope="package")
async def web(timed: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=timed.public, timeout=30, trust_env=False) as client:
        yield client


async def pushed(
    gate: Deployment, web: httpx.AsyncClient, plan: str, body: bytes, path: str = "/live/cam/0.ts", **headers: str
) -> tuple[Customer, httpx.Response, dict[str, Any]]:
    """A segment pushed by a new customer: customer, answer and usage event."""
    customer = await gate.customer(plan)
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await web.put(path, content=body, headers={**customer.headers, **told})
    [event] = await gate.settled(1, customer.app)
    return customer, answer, event


@pytest.mark.parametrize("container", ["ts", "mp4"])
async def test_a_segment_is_sold_by_its_own_duration(timed: Deployment, web: httpx.AsyncClient, container: str) -> None:
    body = segment(container, "25").data
    path = f"/live/cam/0.{container}"
    _, answer, event = await pushed(timed, web, "plain", body, path, content_duration="1", **MULTIPART)
    assert answer.status_code == 200
    assert event["units"] == {"milliseconds": 2_000, "pixels": P240_AND_P360, "requests": 1}
    assert event["provenance"] == {"milliseconds": "measured", "pixels": "upstream", "requests": "measured"}
    assert event["amount"] == str(2_000 + -(-P240_AND_P360 // 1_000_000))


async def test_an_answer_without_renditions_is_sold_by_the_plans_profiles(
    timed: Deployment, web: httpx.AsyncClient
) -> None:
    customer, answer, event = await pushed(timed, web, "ladder", segment("ts", "25").data)
    assert (answer.status_code, answer.content) == (200, b"")
    pixels = 320 * 180 * 10 + 640 * 360 * 25
    assert event["units"] == {"milliseconds": 2_000, "pixels": pixels, "requests": 1}
    assert event["provenance"]["pixels"] == "declared"
    [heard] = timed.heard(customer.app)
    assert json.loads(heard.header("livepeer-transcode-configuration") or "")["profiles"] == [
        {"name": "small", "width": 320, "height": 180, "bitrate": 200_000, "fps": 10, "fpsDen": 1},
        {"name": "large", "width": 640, "height": 360, "bitrate": 900_000, "fps": 0, "fpsDen": 1},
    ]


async def test_the_gateway_makes_the_plans_profiles_whatever_the_client_says(
    timed: Deployment, web: httpx.AsyncClient
) -> None:
    dear = '{"profiles":[{"name":"dear","width":7680,"height":4320,"bitrate":1}],"verificationFreq":1}'
    _, answer, event = await pushed(
        timed, web, "ladder", segment("ts", "25").data, livepeer_transcode_configuration=dear, **MULTIPART
    )
    assert answer.content.count(b"Rendition-Name: small") == answer.content.count(b"Rendition-Name: large") == 1
    assert b"dear" not in answer.content
    assert event["units"]["pixels"] == 320 * 180 * 10 + 640 * 360 * 25
    assert event["provenance"]["pixels"] == "upstream"


async def test_a_plan_without_profiles_leaves_them_to_the_gateway(timed: Deployment, web: httpx.AsyncClient) -> None:
    customer, _, _ = await pushed(timed, web, "plain", segment("ts", "25").data)
    [heard] = timed.heard(customer.app)
    assert heard.header("livepeer-transcode-configuration") is None


@pytest.mark.parametrize(
    ("plan", "milliseconds", "source"), [("plain", 2_000, "estimated"), ("believing", 7_000, "declared")]
)
async def test_a_segment_that_cannot_be_read(
    timed: Deployment, web: httpx.AsyncClient, plan: str, milliseconds: int, source: str
) -> None:
    """Two packets without a time stamp: enough for the gateway to take it for a segment."""
    packets = (b"G\x1f\xff\x10" + bytes(184)) * 2
    _, answer, event = await pushed(
        timed, web, plan, packets, content_duration="7000", x_mock_gateway="renditions=1", **MULTIPART
    )
    assert answer.status_code == 200
    assert (event["units"]["milliseconds"], event["provenance"]["milliseconds"]) == (milliseconds, source)


@pytest.mark.parametrize(
    ("told", "status", "outcome"),
    [
        ("no-orchestrators", 503, "upstream_error"),
        ("status=422", 422, "complete"),
        ("renditions=0", 200, "upstream_error"),
        ("drop", 502, "upstream_error"),
    ],
)
async def test_a_push_that_failed_costs_nothing(
    timed: Deployment, web: httpx.AsyncClient, told: str, status: int, outcome: str
) -> None:
    _, answer, event = await pushed(timed, web, "plain", segment("ts", "25").data, x_mock_gateway=told, **MULTIPART)
    assert (answer.status_code, event["outcome"]) == (status, outcome)
    assert (event["units"], event["amount"]) == ({}, "0")


def job(capability: str = "cheap", **parameters: Any) -> dict[str, str]:
    """The `Livepeer` header of a job (gateway contract section 3)."""
    fields = {
        "request": "{}",
        "parameters": json.dumps(parameters),
        "capability": capability,
        "timeout_seconds": 30,
    }
    return {"livepeer": base64.b64encode(json.dumps(fields).encode()).decode()}


async def asked(
    gate: Deployment, web: httpx.AsyncClient, plan: str, told: str, capability: str = "cheap"
) -> tuple[httpx.Response, dict[str, Any]]:
    """A BYOC request of a new customer: answer and usage event."""
    customer = await gate.customer(plan)
    headers = {**customer.headers, **job(capability), "x-mock-gateway": told}
    answer = await web.post("/process/request/any/path", content=b"work", headers=headers)
    [event] = await gate.settled(1, customer.app)
    return answer, event


@pytest.mark.parametrize(("capability", "price"), [("cheap", 1_000), ("dear", 1_000_000)])
async def test_a_job_is_sold_by_the_second_at_its_capabilitys_price(
    timed: Deployment, web: httpx.AsyncClient, capability: str, price: int
) -> None:
    answer, event = await asked(timed, web, "plain", "delay=0.2", capability)
    spent = event["units"]["milliseconds"]
    assert (answer.status_code, event["model"], event["outcome"]) == (200, capability, "complete")
    assert 200 <= spent <= event["duration_ms"]
    assert event["provenance"]["milliseconds"] == "measured"
    assert event["amount"] == str(-(-spent * price // 1_000))


async def test_an_event_stream_that_is_done(timed: Deployment, web: httpx.AsyncClient) -> None:
    _, event = await asked(timed, web, "plain", "sse,tokens=3")
    assert (event["outcome"], event["units"]["requests"]) == ("complete", 1)


@pytest.mark.parametrize(
    ("told", "status", "outcome"),
    [
        ("empty", 200, "upstream_error"),
        ("no-orchestrators", 400, "complete"),
        ("status=500", 500, "upstream_error"),
        ("drop", 502, "upstream_error"),
        ("no-funds", 200, "upstream_error"),
    ],
)
async def test_a_job_that_failed_costs_nothing(
    timed: Deployment, web: httpx.AsyncClient, told: str, status: int, outcome: str
) -> None:
    answer, event = await asked(timed, web, "plain", told)
    assert (answer.status_code, event["outcome"]) == (status, outcome)
    assert (event["units"], event["amount"]) == ({}, "0")


@pytest.mark.parametrize(("told", "charged"), [("no-funds", True), ("empty", False), ("drop", False)])
async def test_a_plan_can_charge_for_the_time_of_an_answer_that_was_broken_off(
    timed: Deployment, web: httpx.AsyncClient, told: str, charged: bool
) -> None:
    _, event = await asked(timed, web, "strict", told)
    assert event["outcome"] == "upstream_error"
    assert ("milliseconds" in event["units"]) is charged


@pytest.mark.parametrize(("plan", "charged"), [("plain", True), ("strict", False)])
async def test_a_client_that_leaves_pays_by_its_plans_rule(timed: Deployment, plan: str, charged: bool) -> None:
    customer = await timed.customer(plan)
    headers = {**customer.headers, **job(), "x-mock-gateway": f"hold=never-{plan}"}
    async with httpx.AsyncClient(base_url=timed.public, trust_env=False) as leaving:
        with pytest.raises(httpx.ReadTimeout):
            await leaving.post("/process/request/any", content=b"work", headers=headers, timeout=0.3)
    [event] = await timed.settled(1, customer.app)
    assert event["outcome"] == "client_disconnect"
    assert ("milliseconds" in event["units"]) is charged


async def started(
    gate: Deployment, web: httpx.AsyncClient, customer: Customer, name: str = "cam", told: str = ""
) -> httpx.Response:
    """A BYOC stream, asked for."""
    headers = {**customer.headers, **job("cheap", enable_data_output=True), "x-mock-gateway": told}
    return await web.post("/process/stream/start", json={"stream_name": name}, headers=headers)


async def stopped(web: httpx.AsyncClient, customer: Customer, answer: httpx.Response) -> httpx.Response:
    """The stream of that answer, stopped at the URL it names."""
    return await web.post(httpx.URL(answer.json()["stop_url"]).path, headers=customer.headers)


async def time_of(gate: Deployment, customer: Customer, events: int) -> list[dict[str, Any]]:
    """The events of a customer that count time, once there are so many in all."""
    return [event for event in await gate.settled(events, customer.app) if event["units"].get("milliseconds")]


async def test_a_stream_is_sold_by_the_time_from_start_to_stop(timed: Deployment, web: httpx.AsyncClient) -> None:
    customer = await timed.customer("plain")
    answer = await started(timed, web, customer)
    assert answer.status_code == 200
    status = await web.get(httpx.URL(answer.json()["status_url"]).path, headers=customer.headers)
    assert status.status_code == 200
    assert (await stopped(web, customer, answer)).status_code == 200
    [event] = await time_of(timed, customer, 4)
    assert event["id"] == answer.headers["x-request-id"] + "-1"
    assert (event["workload"], event["model"], event["outcome"]) == ("byoc", "cheap", "complete")
    assert event["units"] == {"milliseconds": event["duration_ms"], "requests": 1}
    assert event["provenance"]["milliseconds"] == "measured"
    assert event["amount"] == str(event["duration_ms"])
    async with timed.store() as store:
        differences, _ = await verify(store.redis, redis_keys(timed.settings), timed.settings.all_plans())
    assert differences == []


async def test_a_stream_that_is_stopped_again_and_at_once_is_charged_once(
    timed: Deployment, web: httpx.AsyncClient
) -> None:
    customer = await timed.customer("plain")
    answer = await started(timed, web, customer)
    answers = await asyncio.gather(*(stopped(web, customer, answer) for _ in range(8)))
    assert {each.status_code for each in answers} <= {200, 404}
    assert len(await time_of(timed, customer, 10)) == 1


async def test_a_stream_that_the_gateway_has_lost_ends_with_its_stop(timed: Deployment, web: httpx.AsyncClient) -> None:
    customer = await timed.customer("plain")
    answer = await started(timed, web, customer)
    async with httpx.AsyncClient(base_url=timed.gateway.url, trust_env=False) as behind:
        stream = answer.json()["stream_id"]
        assert (await behind.post(f"/process/stream/{stream}/stop")).status_code == 200
    assert (await stopped(web, customer, answer)).status_code == 404
    assert len(await time_of(timed, customer, 3)) == 1


async def test_a_stop_that_failed_leaves_the_stream_running(timed: Deployment, web: httpx.AsyncClient) -> None:
    customer = await timed.customer("plain")
    answer = await started(timed, web, customer)
    path = httpx.URL(answer.json()["stop_url"]).path
    failed = await web.post(path, headers={**customer.headers, "x-mock-gateway": "early,status=500"})
    assert failed.status_code == 500
    assert await time_of(timed, customer, 2) == []
    assert (await stopped(web, customer, answer)).status_code == 200
    assert len(await time_of(timed, customer, 4)) == 1


@pytest.mark.parametrize(
    ("told", "status"), [("no-orchestrators", 400), ("status=500", 500), ("drop", 502), ("empty", 200)]
)
async def test_a_stream_that_did_not_start_costs_nothing(
    timed: Deployment, web: httpx.AsyncClient, told: str, status: int
) -> None:
    customer = await timed.customer("plain")
    answer = await started(timed, web, customer, told=told)
    assert answer.status_code == status
    [event] = await timed.settled(1, customer.app)
    assert (event["units"], event["amount"]) == ({}, "0")


async def test_a_stream_needs_credit_before_it_starts_and_takes_a_place_while_it_lives(
    timed: Deployment, web: httpx.AsyncClient
) -> None:
    customer = await timed.customer("prepaid")
    assert (await started(timed, web, customer)).status_code == 402
    assert timed.heard(customer.app) == []
    async with timed.store() as store:
        keys = redis_keys(timed.settings)
        await grant(store, keys, customer.app, None, 1_000_000, reference="first")
    answer = await started(timed, web, customer)
    assert answer.status_code == 200
    second = await started(timed, web, customer, "other")
    assert (second.status_code, second.json()["code"]) == (429, "concurrency_limited")
    assert (await stopped(web, customer, answer)).status_code == 200
