"""Media through the whole product: sold by what it holds, not by what it or its client claims; nobody waits for it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.media_probe.test_cases import CASES, TRUTH
from tests.support.deployment import Customer, Deployment, deployed
from tests.usage_tracker.meters.segments import segment

pytestmark = pytest.mark.asyncio(loop_scope="package")

PROFILES = [
    {"name": "small", "width": 426, "height": 240, "bitrate": 200_000, "fps": 30},
    {"name": "large", "width": 640, "height": 360, "bitrate": 900_000, "fps": 30},
]
USAGE: dict[str, Any] = {"billing": "usage", "prices": [{"unit": "minutes", "amount": 60_000}]}
PLANS: dict[str, Any] = {
    "ladder": {**USAGE, "transcoding": {"profiles": PROFILES}},
    "one": {**USAGE, "transcoding": {"profiles": PROFILES[:1]}, "limits": {"app": {"concurrent": 1}}},
}
BODIES = {name: (CASES / name).read_bytes() for name in TRUTH}
MINUTE = BODIES["m4a-forged-timescale.m4a"]
MULTIPART = {"accept": "multipart/mixed"}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run two workers."""
    async with deployed(tmp_path_factory.mktemp("media"), {"plans": PLANS, "workers": 2}) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def web(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=deployment.public, timeout=30, trust_env=False) as client:
        yield client


def raw_response(content_type: str, body: bytes) -> str:
    """Return the instruction for exactly this response."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    return f"raw={base64.urlsafe_b64encode(head + body).decode()}"


async def pushed(
    deployment: Deployment, web: httpx.AsyncClient, plan: str, body: bytes, **headers: str
) -> dict[str, Any]:
    """Push a segment as a new customer and return its usage event."""
    customer = await deployment.customer(plan)
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await web.put("/live/cam/0.ts", content=body, headers={**customer.headers, **extra})
    assert response.status_code == 200
    [event] = await deployment.settled(1, customer.app)
    return event


@pytest.mark.parametrize("name", TRUTH)
async def test_file_that_was_read_wrongly_once(deployment: Deployment, web: httpx.AsyncClient, name: str) -> None:
    truth, body = TRUTH[name], BODIES[name]
    if truth["kind"] == "segment":
        event, renditions = await pushed(deployment, web, "ladder", body, content_duration="6"), 2
    else:
        customer = await deployment.customer("ladder")
        form: dict[str, Any] = {"files": {"audio": ("a", body)}, "data": {"model_id": "m"}}
        headers = {**customer.headers, "x-mock-gateway": raw_response("application/json", b'{"text":"","chunks":[]}')}
        assert (await web.post("/audio-to-text", headers=headers, **form)).status_code == 200
        [event] = await deployment.settled(1, customer.app)
        renditions = 1
    assert event["provenance"]["milliseconds"] == "measured"
    assert abs(event["units"]["milliseconds"] - renditions * truth["milliseconds"]) <= renditions * truth["frame"]
    if name == "m4a-forged-timescale.m4a":
        assert event["network_units"] == 0, "the gateway takes it for 60 ms"


@pytest.mark.parametrize("response", [{}, MULTIPART], ids=["unnamed", "named"])
async def test_square_source_is_sold_by_the_size_of_its_renditions(
    deployment: Deployment, web: httpx.AsyncClient, response: dict[str, str]
) -> None:
    """The media of the mock gateway's renditions are void here, so they are as large as a gateway makes them."""
    event = await pushed(deployment, web, "ladder", segment("ts", "25", size="128x128").data, **response)
    assert event["units"]["pixels"] == (426 * 426 + 640 * 640) * 30


async def test_renditions_are_measured_themselves(deployment: Deployment, web: httpx.AsyncClient) -> None:
    body = segment("ts", "25", size="128x128").data
    event = await pushed(deployment, web, "ladder", body, x_mock_gateway="source=320x240", **MULTIPART)
    assert event["units"]["pixels"] == 426 * 320 + 640 * 480, "one picture each"
    assert event["provenance"]["pixels"] == "upstream"
    assert event["units"]["milliseconds"] == 2_000


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["sound", "segment"])
async def test_client_of_one_place_does_not_meet_its_own_measurement(
    deployment: Deployment, web: httpx.AsyncClient, kind: str
) -> None:
    """It has its response, and asks again at once while the one before is still being measured."""
    customer = await deployment.customer("one")
    for number in range(8):
        if kind == "sound":
            form: dict[str, Any] = {"files": {"audio": ("a", MINUTE)}, "data": {"model_id": "m"}}
            response = await web.post("/audio-to-text", headers=customer.headers, **form)
        else:
            headers = {**customer.headers, **MULTIPART, "x-mock-gateway": "source=320x240"}
            body = segment("ts", "25", seconds="4").data
            response = await web.put(f"/live/cam/{number}.ts", content=body, headers=headers)
        assert response.status_code == 200, response.text
    events = await deployment.settled(8, customer.app)
    assert {event["provenance"]["milliseconds"] for event in events} == {"measured"}


async def streamed(deployment: Deployment, web: httpx.AsyncClient, customer: Customer, text: bytes) -> dict[str, Any]:
    """Return the event of a BYOC job whose gateway sends exactly this event stream, and then ends it."""
    job = {"request": "{}", "parameters": "{}", "capability": "c", "timeout_seconds": 30}
    instructions = f"delay=0.1,{raw_response('text/event-stream', text)}"
    headers = {"livepeer": base64.b64encode(json.dumps(job).encode()).decode(), "x-mock-gateway": instructions}
    response = await web.post("/process/request/x", content=b"work", headers={**customer.headers, **headers})
    assert response.status_code == 200
    [event] = await deployment.settled(1, customer.app)
    return event


@pytest.mark.parametrize(
    "text",
    [
        b'data: {"echo": "say [DONE]"}\n\n',
        b'data: a\n\nevent: insufficient balance\ndata: b\n\ndata: {"balance": 1}\n\ndata: [DONE]\n',
        b'data: event: insufficient balance\n\ndata: {"balance": 1}\n\ndata: [DONE]\n',
    ],
)
async def test_prompt_that_is_echoed_makes_no_job_free(
    deployment: Deployment, web: httpx.AsyncClient, text: bytes
) -> None:
    event = await streamed(deployment, web, await deployment.customer("ladder"), text)
    assert (event["outcome"], event["units"]["requests"]) == ("complete", 1)
    assert event["units"]["milliseconds"] >= 100


async def test_job_whose_funds_ran_out_is_free(deployment: Deployment, web: httpx.AsyncClient) -> None:
    text = b'data: a\n\nevent: insufficient balance\ndata: {"balance": 0}\n\ndata: [DONE]\n'
    event = await streamed(deployment, web, await deployment.customer("ladder"), text)
    assert (event["outcome"], event["units"]) == ("upstream_error", {})


async def test_many_at_once_are_all_measured(deployment: Deployment, web: httpx.AsyncClient) -> None:
    body = segment("ts", "25", seconds="4").data
    customer = await deployment.customer("ladder")
    paths = [f"/live/cam{number}/0.ts" for number in range(24)]
    responses = await asyncio.gather(*(web.put(path, content=body, headers=customer.headers) for path in paths))
    assert {response.status_code for response in responses} == {200}
    events = await deployment.settled(24, customer.app)
    assert {event["units"]["milliseconds"] for event in events} == {8_000}
