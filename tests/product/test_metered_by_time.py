"""Segments and BYOC jobs through the whole product: right unit, right provenance, right price."""

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
from proxy.store.configured import redis_keys
from tests.history.beside import verify_deployment
from tests.support.deployment import Customer, Deployment, deployed, eventually
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
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers whose plans sell time."""
    async with deployed(tmp_path_factory.mktemp("timed"), {"plans": PLANS, "workers": 2}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def web(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=deployment.public, timeout=30, trust_env=False) as client:
        yield client


async def push_segment(
    deployment: Deployment, web: httpx.AsyncClient, plan: str, body: bytes, path: str = "/live/cam/0.ts", **headers: str
) -> tuple[Customer, httpx.Response, dict[str, Any]]:
    """Push a segment as a new customer; return the customer, the response and the usage event."""
    customer = await deployment.customer(plan)
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await web.put(path, content=body, headers={**customer.headers, **extra})
    [event] = await deployment.settled(1, customer.app)
    return customer, response, event


@pytest.mark.parametrize("container", ["ts", "mp4"])
async def test_a_segment_is_sold_by_its_own_duration(
    deployment: Deployment, web: httpx.AsyncClient, container: str
) -> None:
    body = segment(container, "25").data
    path = f"/live/cam/0.{container}"
    _, response, event = await push_segment(deployment, web, "plain", body, path, content_duration="1", **MULTIPART)
    assert response.status_code == 200
    assert event["units"] == {"milliseconds": 2_000, "pixels": P240_AND_P360, "requests": 1}
    assert event["provenance"] == {"milliseconds": "measured", "pixels": "upstream", "requests": "measured"}
    assert event["amount"] == str(2_000 + -(-P240_AND_P360 // 1_000_000))


async def test_a_response_without_renditions_is_sold_by_the_plans_profiles(
    deployment: Deployment, web: httpx.AsyncClient
) -> None:
    customer, response, event = await push_segment(deployment, web, "ladder", segment("ts", "25").data)
    assert (response.status_code, response.content) == (200, b"")
    pixels = 320 * 180 * 10 + 640 * 360 * 25
    assert event["units"] == {"milliseconds": 2_000, "pixels": pixels, "requests": 1}
    assert event["provenance"]["pixels"] == "declared"
    [forwarded] = deployment.forwarded(customer.app)
    assert json.loads(forwarded.header("livepeer-transcode-configuration") or "")["profiles"] == [
        {"name": "small", "width": 320, "height": 180, "bitrate": 200_000, "fps": 10, "fpsDen": 1},
        {"name": "large", "width": 640, "height": 360, "bitrate": 900_000, "fps": 0, "fpsDen": 1},
    ]


async def test_the_gateway_makes_the_plans_profiles_whatever_the_client_says(
    deployment: Deployment, web: httpx.AsyncClient
) -> None:
    dear = '{"profiles":[{"name":"dear","width":7680,"height":4320,"bitrate":1}],"verificationFreq":1}'
    _, response, event = await push_segment(
        deployment, web, "ladder", segment("ts", "25").data, livepeer_transcode_configuration=dear, **MULTIPART
    )
    assert response.content.count(b"Rendition-Name: small") == response.content.count(b"Rendition-Name: large") == 1
    assert b"dear" not in response.content
    assert event["units"]["pixels"] == 320 * 180 * 10 + 640 * 360 * 25
    assert event["provenance"]["pixels"] == "upstream"


async def test_a_plan_without_profiles_leaves_them_to_the_gateway(
    deployment: Deployment, web: httpx.AsyncClient
) -> None:
    customer, _, _ = await push_segment(deployment, web, "plain", segment("ts", "25").data)
    [forwarded] = deployment.forwarded(customer.app)
    assert forwarded.header("livepeer-transcode-configuration") is None


@pytest.mark.parametrize(
    ("plan", "milliseconds", "source"), [("plain", 2_000, "estimated"), ("believing", 7_000, "declared")]
)
async def test_a_segment_that_cannot_be_read(
    deployment: Deployment, web: httpx.AsyncClient, plan: str, milliseconds: int, source: str
) -> None:
    """Two packets without a time stamp are enough for the gateway to take them for a segment."""
    packets = (b"G\x1f\xff\x10" + bytes(184)) * 2
    _, response, event = await push_segment(
        deployment, web, plan, packets, content_duration="7000", x_mock_gateway="renditions=1", **MULTIPART
    )
    assert response.status_code == 200
    assert (event["units"]["milliseconds"], event["provenance"]["milliseconds"]) == (milliseconds, source)


@pytest.mark.parametrize(
    ("behaviour", "status", "outcome"),
    [
        ("no-orchestrators", 503, "upstream_error"),
        ("status=422", 422, "complete"),
        ("renditions=0", 200, "upstream_error"),
        ("drop", 502, "upstream_error"),
    ],
)
async def test_a_push_that_failed_costs_nothing(
    deployment: Deployment, web: httpx.AsyncClient, behaviour: str, status: int, outcome: str
) -> None:
    _, response, event = await push_segment(
        deployment, web, "plain", segment("ts", "25").data, x_mock_gateway=behaviour, **MULTIPART
    )
    assert (response.status_code, event["outcome"]) == (status, outcome)
    assert (event["units"], event["amount"]) == ({}, "0")


def job(capability: str = "cheap", **parameters: Any) -> dict[str, str]:
    """Return the `Livepeer` header of a job (gateway contract section 3)."""
    description = {
        "request": "{}",
        "parameters": json.dumps(parameters),
        "capability": capability,
        "timeout_seconds": 30,
    }
    return {"livepeer": base64.b64encode(json.dumps(description).encode()).decode()}


async def request_job(
    deployment: Deployment, web: httpx.AsyncClient, plan: str, behaviour: str, capability: str = "cheap"
) -> tuple[httpx.Response, dict[str, Any]]:
    """Send a BYOC request as a new customer; return the response and the usage event."""
    customer = await deployment.customer(plan)
    headers = {**customer.headers, **job(capability), "x-mock-gateway": behaviour}
    response = await web.post("/process/request/any/path", content=b"work", headers=headers)
    [event] = await deployment.settled(1, customer.app)
    return response, event


@pytest.mark.parametrize(("capability", "price"), [("cheap", 1_000), ("dear", 1_000_000)])
async def test_a_job_is_sold_by_the_second_at_its_capabilitys_price(
    deployment: Deployment, web: httpx.AsyncClient, capability: str, price: int
) -> None:
    response, event = await request_job(deployment, web, "plain", "delay=0.2", capability)
    spent = event["units"]["milliseconds"]
    assert (response.status_code, event["model"], event["outcome"]) == (200, capability, "complete")
    assert 200 <= spent <= event["duration_ms"]
    assert event["provenance"]["milliseconds"] == "measured"
    assert event["amount"] == str(-(-spent * price // 1_000))


async def test_an_event_stream_that_is_done(deployment: Deployment, web: httpx.AsyncClient) -> None:
    _, event = await request_job(deployment, web, "plain", "sse,tokens=3")
    assert (event["outcome"], event["units"]["requests"]) == ("complete", 1)


@pytest.mark.parametrize(
    ("behaviour", "status", "outcome"),
    [
        ("empty", 200, "upstream_error"),
        ("no-orchestrators", 400, "complete"),
        ("status=500", 500, "upstream_error"),
        ("drop", 502, "upstream_error"),
        ("no-funds", 200, "upstream_error"),
    ],
)
async def test_a_job_that_failed_costs_nothing(
    deployment: Deployment, web: httpx.AsyncClient, behaviour: str, status: int, outcome: str
) -> None:
    await request_job(deployment, web, "plain", "")  # or its worker would take a drop for that of an unknown model
    response, event = await request_job(deployment, web, "plain", behaviour)
    assert (response.status_code, event["outcome"]) == (status, outcome)
    assert (event["units"], event["amount"]) == ({}, "0")


@pytest.mark.parametrize(("behaviour", "charged"), [("no-funds", True), ("empty", False), ("drop", False)])
async def test_a_plan_can_charge_for_the_time_of_a_response_that_was_broken_off(
    deployment: Deployment, web: httpx.AsyncClient, behaviour: str, charged: bool
) -> None:
    _, event = await request_job(deployment, web, "strict", behaviour)
    assert event["outcome"] == "upstream_error"
    assert ("milliseconds" in event["units"]) is charged


async def leave(deployment: Deployment, customer: Customer, path: str, **request: Any) -> None:
    """Send a customer's first request, and go as soon as the gateway has it."""
    async with httpx.AsyncClient(base_url=deployment.public, trust_env=False) as leaving:
        sending = asyncio.create_task(leaving.post(path, timeout=None, **request))
        await eventually(lambda: bool(deployment.forwarded(customer.app)))
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


@pytest.mark.parametrize(("plan", "charged"), [("plain", True), ("strict", False)])
async def test_a_client_that_leaves_pays_by_its_plans_rule(deployment: Deployment, plan: str, charged: bool) -> None:
    customer = await deployment.customer(plan)
    headers = {**customer.headers, **job(), "x-mock-gateway": f"hold=never-{plan}"}
    await leave(deployment, customer, "/process/request/any", content=b"work", headers=headers)
    [event] = await deployment.settled(1, customer.app)
    assert event["outcome"] == "client_disconnect"
    assert ("milliseconds" in event["units"]) is charged


async def start_stream(
    deployment: Deployment, web: httpx.AsyncClient, customer: Customer, name: str = "cam", behaviour: str = ""
) -> httpx.Response:
    """Request the start of a BYOC stream."""
    headers = {**customer.headers, **job("cheap", enable_data_output=True), "x-mock-gateway": behaviour}
    return await web.post("/process/stream/start", json={"stream_name": name}, headers=headers)


async def stop_stream(web: httpx.AsyncClient, customer: Customer, response: httpx.Response) -> httpx.Response:
    """Stop the stream of a start response, at the URL that it names."""
    return await web.post(httpx.URL(response.json()["stop_url"]).path, headers=customer.headers)


async def time_of(deployment: Deployment, customer: Customer, events: int) -> list[dict[str, Any]]:
    """Return the events of a customer that count time, once it has `events` in all."""
    return [event for event in await deployment.settled(events, customer.app) if event["units"].get("milliseconds")]


async def test_a_stream_is_sold_by_the_time_from_start_to_stop(deployment: Deployment, web: httpx.AsyncClient) -> None:
    customer = await deployment.customer("plain")
    response = await start_stream(deployment, web, customer)
    assert response.status_code == 200
    status = await web.get(httpx.URL(response.json()["status_url"]).path, headers=customer.headers)
    assert status.status_code == 200
    assert (await stop_stream(web, customer, response)).status_code == 200
    [event] = await time_of(deployment, customer, 4)
    assert event["id"] == response.headers["x-request-id"] + "-1"
    assert (event["workload"], event["model"], event["outcome"]) == ("byoc", "cheap", "complete")
    assert event["units"] == {"milliseconds": event["duration_ms"], "requests": 1}
    assert event["provenance"]["milliseconds"] == "measured"
    assert event["amount"] == str(event["duration_ms"])
    async with deployment.store() as store:
        differences = await verify_deployment(deployment.settings, store.redis)
    assert differences == []


async def test_a_stream_that_is_stopped_again_and_at_once_is_charged_once(
    deployment: Deployment, web: httpx.AsyncClient
) -> None:
    customer = await deployment.customer("plain")
    response = await start_stream(deployment, web, customer)
    responses = await asyncio.gather(*(stop_stream(web, customer, response) for _ in range(8)))
    assert {each.status_code for each in responses} <= {200, 404}
    assert len(await time_of(deployment, customer, 10)) == 1


async def test_a_stream_that_the_gateway_has_lost_ends_with_its_stop(
    deployment: Deployment, web: httpx.AsyncClient
) -> None:
    customer = await deployment.customer("plain")
    response = await start_stream(deployment, web, customer)
    async with httpx.AsyncClient(base_url=deployment.gateway.url, trust_env=False) as behind:
        stream = response.json()["stream_id"]
        assert (await behind.post(f"/process/stream/{stream}/stop")).status_code == 200
    assert (await stop_stream(web, customer, response)).status_code == 404
    assert await time_of(deployment, customer, 2) == [], "nothing proved after its start that it lived"


async def test_delete_of_a_whip_session_ends_the_meter(deployment: Deployment, web: httpx.AsyncClient) -> None:
    """A stock gateway refuses the DELETE (405), so Tollgate responds."""
    customer = await deployment.customer("plain")
    response = await start_stream(deployment, web, customer)
    path = f"/process/stream/{response.json()['stream_id']}/whip"
    offer = await web.post(path, content=b"v=0", headers={**customer.headers, "content-type": "application/sdp"})
    assert offer.status_code == 201
    session = httpx.URL(offer.headers["location"]).path
    stranger = await deployment.customer("plain")
    assert (await web.delete(session, headers=stranger.headers)).status_code == 404
    ended = await web.delete(session, headers=customer.headers)
    assert (ended.status_code, ended.content) == (200, b"")
    assert (await web.delete(session, headers=customer.headers)).status_code == 200, "as often as one likes"
    assert len(await time_of(deployment, customer, 5)) == 1
    assert deployment.forwarded(customer.app)[-1].method == "DELETE", "a gateway that can serve it ends the session"


async def test_a_start_whose_client_leaves_is_finished_and_charged(
    deployment: Deployment, web: httpx.AsyncClient
) -> None:
    customer = await deployment.customer("plain")
    headers = {**customer.headers, **job("cheap"), "x-mock-gateway": "hold=left-early"}
    await leave(deployment, customer, "/process/stream/start", json={"stream_id": "left"}, headers=headers)
    deployment.gateway.release("left-early")
    await deployment.settled(1, customer.app)
    assert (await web.post("/process/stream/left/stop", headers=customer.headers)).status_code == 200
    assert len(await time_of(deployment, customer, 3)) == 1


async def test_a_stop_that_failed_leaves_the_stream_running(deployment: Deployment, web: httpx.AsyncClient) -> None:
    customer = await deployment.customer("plain")
    response = await start_stream(deployment, web, customer)
    path = httpx.URL(response.json()["stop_url"]).path
    failed = await web.post(path, headers={**customer.headers, "x-mock-gateway": "early,status=500"})
    assert failed.status_code == 500
    assert await time_of(deployment, customer, 2) == []
    assert (await stop_stream(web, customer, response)).status_code == 200
    assert len(await time_of(deployment, customer, 4)) == 1


@pytest.mark.parametrize(
    ("behaviour", "status"), [("no-orchestrators", 400), ("status=500", 500), ("drop", 502), ("empty", 200)]
)
async def test_a_stream_that_did_not_start_costs_nothing(
    deployment: Deployment, web: httpx.AsyncClient, behaviour: str, status: int
) -> None:
    await request_job(deployment, web, "plain", "")  # or its worker would take a drop for that of an unknown model
    customer = await deployment.customer("plain")
    response = await start_stream(deployment, web, customer, behaviour=behaviour)
    assert response.status_code == status
    [event] = await deployment.settled(1, customer.app)
    assert (event["units"], event["amount"]) == ({}, "0")


async def test_a_stream_needs_credit_before_it_starts_and_takes_a_place_while_it_lives(
    deployment: Deployment, web: httpx.AsyncClient
) -> None:
    customer = await deployment.customer("prepaid")
    assert (await start_stream(deployment, web, customer)).status_code == 402
    assert deployment.forwarded(customer.app) == []
    async with deployment.store() as store:
        keys = redis_keys(deployment.settings)
        await grant(store, keys, customer.app, None, 1_000_000, reference="first")
    response = await start_stream(deployment, web, customer)
    assert response.status_code == 200
    second = await start_stream(deployment, web, customer, "other")
    assert (second.status_code, second.json()["code"]) == (429, "concurrency_limited")
    assert (await stop_stream(web, customer, response)).status_code == 200
