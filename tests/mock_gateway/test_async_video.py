"""Detached image-to-video (gateway contract section 1.3)."""

from typing import Any

import httpx
import pytest

from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.media import png
from tests.mock_gateway.conftest import connect

IMAGE = {"image": ("in.png", png(64, 64), "image/png")}


async def begin(client: httpx.AsyncClient, told: str = "", prefer: str = "respond-async") -> httpx.Response:
    headers = {"prefer": prefer, "x-mock-gateway": told}
    return await client.post("/image-to-video", data={"model_id": "m"}, files=IMAGE, headers=headers)


async def poll(client: httpx.AsyncClient, request_id: str) -> tuple[int, Any]:
    answer = await client.request("GET", "/image-to-video/result", json={"request_id": request_id})
    if answer.status_code < 400:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.status_code, answer.json()


async def test_processing_then_complete(stored: MockGateway) -> None:
    async with connect(stored) as client:
        accepted = await begin(client, "hold=work")
        request_id = accepted.json()["request_id"]
        assert (accepted.status_code, len(bytes.fromhex(request_id))) == (202, 4)
        await stored.wait_for(held=1)
        assert await poll(client, request_id) == (202, {"status": "processing"})
        stored.release("work")
        status, answer = await until_complete(client, request_id)
        assert (status, answer["status"]) == (200, "complete")
        assert (await client.get(answer["result"]["images"][0]["url"])).status_code == 200


async def test_errors_are_complete_successes(stored: MockGateway) -> None:
    async with connect(stored) as client:
        request_id = (await begin(client, "status=500")).json()["request_id"]
        status, answer = await until_complete(client, request_id)
        assert status == 200
        assert answer == {"result": {"error": {"message": "Internal Server Error"}}, "status": "complete"}


async def test_memory_storage_never_finds_the_request(client: httpx.AsyncClient) -> None:
    request_id = (await begin(client)).json()["request_id"]
    assert await poll(client, request_id) == (400, {"error": {"message": "invalid request ID"}})
    assert (await poll(client, "ffffffff"))[0] == 400


@pytest.mark.parametrize("prefer", ["Respond-Async", "respond-async, wait=1", ""])
async def test_only_the_exact_preference_detaches(client: httpx.AsyncClient, prefer: str) -> None:
    assert (await begin(client, prefer=prefer)).status_code == 200


async def test_no_orchestrators_for_detached_work_crashes_the_gateway(mock_gateway: MockGateway) -> None:
    async with connect(mock_gateway) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await begin(client, "no-orchestrators")
    assert mock_gateway.counters["crashes"] == 1


async def until_complete(client: httpx.AsyncClient, request_id: str) -> tuple[int, Any]:
    for _ in range(1000):
        answer = await poll(client, request_id)
        if answer[0] != 202:
            return answer
    raise AssertionError("never complete")
