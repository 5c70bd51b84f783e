"""Detached image-to-video (CONTRACT.md section 1.3)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from proxy.mock_gateway import MockGateway, Options
from proxy.mock_gateway.media import png
from tests.mock_gateway.conftest import DEADLINE, connect

IMAGE = {"image": ("in.png", png(64, 64), "image/png")}


@pytest.fixture
async def readable() -> AsyncIterator[MockGateway]:
    """A mock gateway whose results can be read back, as its authors meant it."""
    async with MockGateway(Options(external_store=True, async_results=True)) as running:
        yield running


async def begin(client: httpx.AsyncClient, behaviour: str = "", prefer: str = "respond-async") -> httpx.Response:
    headers = {"prefer": prefer, "x-mock-gateway": behaviour}
    return await client.post("/image-to-video", data={"model_id": "m"}, files=IMAGE, headers=headers)


async def poll(client: httpx.AsyncClient, request_id: str) -> tuple[int, Any]:
    response = await client.request("GET", "/image-to-video/result", json={"request_id": request_id})
    if response.status_code < 400:
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return response.status_code, response.json()


async def test_processing_then_complete(readable: MockGateway) -> None:
    async with connect(readable) as client:
        accepted = await begin(client, "hold=work")
        request_id = accepted.json()["request_id"]
        assert (accepted.status_code, len(bytes.fromhex(request_id))) == (202, 4)
        await readable.wait_for(held=1)
        assert await poll(client, request_id) == (202, {"status": "processing"})
        readable.release("work")
        status, response = await until_complete(client, request_id)
        assert (status, response["status"]) == (200, "complete")
        assert (await client.get(response["result"]["images"][0]["url"])).status_code == 200


async def test_errors_are_complete_successes(readable: MockGateway) -> None:
    async with connect(readable) as client:
        request_id = (await begin(client, "status=500")).json()["request_id"]
        status, response = await until_complete(client, request_id)
        assert status == 200
        assert response == {"result": {"error": {"message": "Internal Server Error"}}, "status": "complete"}


@pytest.mark.parametrize("external_store", [False, True])
async def test_neither_kind_of_storage_finds_the_request(external_store: bool) -> None:
    async with MockGateway(Options(external_store=external_store)) as gateway, connect(gateway) as client:
        request_id = (await begin(client)).json()["request_id"]
        for known in (request_id, "ffffffff"):
            response = await client.post("/image-to-video/result", json={"request_id": known})
            assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
            assert response.json() == {"error": {"message": "invalid request ID"}}


@pytest.mark.parametrize("prefer", ["Respond-Async", "respond-async, wait=1", ""])
async def test_only_the_exact_preference_detaches(client: httpx.AsyncClient, prefer: str) -> None:
    assert (await begin(client, prefer=prefer)).status_code == 200


async def test_an_unknown_model_is_202_and_then_the_end_of_the_process() -> None:
    async with MockGateway(crash=True) as gateway, connect(gateway) as client:
        assert (await begin(client, "no-orchestrators")).status_code == 202
        await asyncio.wait_for(gateway.crashed.wait(), DEADLINE)
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")
        assert gateway.counters["crashes"] == 1


async def until_complete(client: httpx.AsyncClient, request_id: str) -> tuple[int, Any]:
    for _ in range(1000):
        response = await poll(client, request_id)
        if response[0] != 202:
            return response
    raise AssertionError("never complete")
