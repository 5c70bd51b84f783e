"""Batch work through the whole product: right unit, provenance and price, by what was really sent and made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from proxy.mock_gateway import MockGateway, Options
from proxy.mock_gateway.media import png, wav
from tests.support.deployment import Deployment, deployed
from tests.usage_tracker.media import media_files

pytestmark = pytest.mark.asyncio(loop_scope="package")

PRICES = [
    {"workload": "image-to-image", "unit": "pixels", "amount": 2},
    {"workload": "image-to-image", "unit": "generations", "amount": 1_000},
    {"workload": "image-to-video", "unit": "pixels", "amount": 1},
    {"workload": "upscale", "unit": "pixels", "amount": 3},
    {"workload": "upscale", "model": "dear", "unit": "pixels", "amount": 30},
    {"workload": "segment-anything-2", "unit": "pixels", "amount": 5},
    {"workload": "image-to-text", "unit": "pixels", "amount": 7},
    {"workload": "audio-to-text", "unit": "seconds", "amount": 1_000},
    {"workload": "text-to-speech", "unit": "characters", "amount": 11},
]
PLANS: dict[str, Any] = {
    "sold": {"billing": "usage", "prices": PRICES},
    "guessing": {
        "billing": "usage",
        "prices": PRICES,
        "unreadable": {"image_pixels": 1_000, "audio_bytes_per_second": 500},
    },
}
PICTURE = png(640, 480)
SECOND = wav(1_000)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Run one worker whose plans sell pixels, seconds and characters; its gateway has an object store."""
    async with MockGateway(Options(external_store=True, async_results=True)) as gateway:
        routing = {"pools": {"stored": {"gateways": [{"url": gateway.url}]}}}
        config = {"plans": PLANS, "edge": {"async_video": True}, "routing": routing}
        async with deployed(tmp_path_factory.mktemp("sold"), config) as deployment:
            yield deployment


@pytest_asyncio.fixture(loop_scope="package")
async def web(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=deployment.public, timeout=30, trust_env=False) as client:
        yield client


async def send_billed(
    deployment: Deployment,
    web: httpx.AsyncClient,
    path: str,
    *,
    plan: str = "sold",
    headers: dict[str, str] | None = None,
    **request: Any,
) -> tuple[httpx.Response, dict[str, Any]]:
    """Send a request as a new customer; return the response and the usage event."""
    customer = await deployment.customer(plan)
    response = await web.post(path, headers={**customer.headers, **(headers or {})}, **request)
    [event] = await deployment.settled(1, customer.app)
    assert event["bytes_in"] > 0
    return response, event


def file(name: str, data: bytes, **fields: str) -> dict[str, Any]:
    """Return a form with one file, as arguments of httpx."""
    return {"files": {name: (f"{name}.bin", data)}, "data": {"model_id": "m", **fields}}


def without_time(units: dict[str, int]) -> dict[str, int]:
    return {unit: count for unit, count in units.items() if unit != "milliseconds"}


@pytest.mark.parametrize(
    ("workload", "fields", "units", "amount"),
    [
        ("image-to-image", {}, {"pixels": 307_200, "generations": 1}, 615_400),
        ("image-to-image", {"num_images_per_prompt": "3"}, {"pixels": 921_600, "generations": 3}, 1_846_200),
        ("upscale", {}, {"pixels": 307_200, "generations": 1}, 921_600),
        (
            "upscale",
            {"model_id": "dear", "width": "1", "height": "1"},
            {"pixels": 307_200, "generations": 1},
            9_216_000,
        ),
        ("segment-anything-2", {}, {"pixels": 307_200}, 1_536_000),
        ("image-to-text", {"prompt": "what?"}, {"pixels": 307_200}, 2_150_400),
    ],
)
async def test_work_on_an_image_is_sold_by_the_images_own_size(
    deployment: Deployment,
    web: httpx.AsyncClient,
    workload: str,
    fields: dict[str, str],
    units: dict[str, int],
    amount: int,
) -> None:
    response, event = await send_billed(deployment, web, f"/{workload}", **file("image", PICTURE, **fields))
    assert response.status_code == 200
    assert without_time(event["units"]) == {**units, "requests": 1}
    assert event["provenance"]["pixels"] == "measured"
    assert event["amount"] == str(amount)
    assert event["network_units"] == units["pixels"]


@pytest.mark.parametrize(
    ("fields", "pixels"), [({}, 25 * 1024 * 576), ({"width": "512", "height": "256"}, 25 * 512 * 256)]
)
async def test_a_video_is_sold_by_its_25_frames(
    deployment: Deployment, web: httpx.AsyncClient, fields: dict[str, str], pixels: int
) -> None:
    response, event = await send_billed(deployment, web, "/image-to-video", **file("image", PICTURE, **fields))
    assert response.status_code == 200
    assert without_time(event["units"]) == {"pixels": pixels, "generations": 1, "requests": 1}
    assert (event["provenance"]["pixels"], event["provenance"]["generations"]) == ("declared", "upstream")
    assert event["amount"] == str(pixels)


async def test_a_detached_video_is_sold_once(deployment: Deployment, web: httpx.AsyncClient) -> None:
    customer = await deployment.customer("sold")
    headers = {**customer.headers, "prefer": "respond-async"}
    response = await web.post("/image-to-video", headers=headers, **file("image", PICTURE))
    assert response.status_code == 202
    query = {"request_id": response.json()["request_id"]}
    polls = 0
    while True:
        result = await web.post("/image-to-video/result", json=query, headers=customer.headers)
        polls += 1
        if result.status_code == 200:
            break
        assert result.status_code == 202
    assert (await web.post("/image-to-video/result", json=query, headers=customer.headers)).status_code == 200
    first, *others = await deployment.settled(polls + 2, customer.app)
    assert without_time(first["units"]) == {"pixels": 25 * 1024 * 576, "generations": 1, "requests": 1}
    assert {event["amount"] for event in others} == {"0"}
    assert all(event["units"] == {} for event in others)


@pytest.mark.parametrize("name", media_files.ONE_PER_CONTAINER)
async def test_audio_is_sold_by_its_own_length(deployment: Deployment, web: httpx.AsyncClient, name: str) -> None:
    form = file("audio", media_files.one_per_container()[name], return_timestamps="false", metadata='{"duration":"0"}')
    response, event = await send_billed(deployment, web, "/audio-to-text", **form)
    assert response.status_code == 200
    milliseconds = event["units"]["milliseconds"]
    assert abs(milliseconds - 1000 * media_files.seconds(name)) < 50
    assert event["provenance"]["milliseconds"] == "measured"
    assert event["amount"] == str(milliseconds)
    assert event["network_units"] == 7_000


async def test_a_sound_in_any_container_is_sold_by_its_frames(deployment: Deployment, web: httpx.AsyncClient) -> None:
    """Containers that a gateway takes and that no header of ours was made for."""
    for name, data in media_files.other_sounds().items():
        response, event = await send_billed(deployment, web, "/audio-to-text", plan="guessing", **file("audio", data))
        assert response.status_code == 200, name
        assert event["provenance"]["milliseconds"] == "measured", name
        assert 1_950 < event["units"]["milliseconds"] < 2_100, name


async def test_what_cannot_be_read_is_sold_by_the_plans_rule(deployment: Deployment, web: httpx.AsyncClient) -> None:
    response, event = await send_billed(
        deployment, web, "/image-to-text", plan="guessing", **file("image", b"BM" + bytes(60))
    )
    assert response.status_code == 200
    assert (event["units"]["pixels"], event["provenance"]["pixels"]) == (1_000, "estimated")


async def test_speech_is_sold_by_its_characters(deployment: Deployment, web: httpx.AsyncClient) -> None:
    response, event = await send_billed(deployment, web, "/text-to-speech", json={"model_id": "m", "text": "çà va 👍"})
    assert response.status_code == 200
    assert without_time(event["units"]) == {"characters": 7, "requests": 1}
    assert event["provenance"]["characters"] == "declared"
    assert event["amount"] == "77"
    assert event["network_units"] == len("çà va 👍".encode())


@pytest.mark.parametrize("behaviour", ["mock/empty", "mock/status=500", "mock/drop", "mock/status=400"])
@pytest.mark.parametrize(
    ("workload", "name", "data"), [("upscale", "image", PICTURE), ("audio-to-text", "audio", SECOND)]
)
async def test_failed_work_costs_nothing(
    deployment: Deployment, web: httpx.AsyncClient, behaviour: str, workload: str, name: str, data: bytes
) -> None:
    _, event = await send_billed(deployment, web, f"/{workload}", **file(name, data, model_id=behaviour))
    assert (event["units"], event["amount"], event["network_units"]) == ({}, "0", None)


async def test_speech_that_failed_costs_nothing(deployment: Deployment, web: httpx.AsyncClient) -> None:
    _, event = await send_billed(deployment, web, "/text-to-speech", json={"model_id": "mock/empty", "text": "hello"})
    assert (event["units"], event["amount"], event["outcome"]) == ({}, "0", "upstream_error")
