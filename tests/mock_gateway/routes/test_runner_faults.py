"""Faults of one request: most drop its connection, some end the process (CONTRACT.md sections 1.0 and 1.2)."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from proxy.mock_gateway import MockGateway, Options
from proxy.mock_gateway.media import png, wav
from tests.mock_gateway.conftest import connect
from tests.mock_gateway.routes.test_byoc import job
from tests.mock_gateway.routes.test_llm import CHAT
from tests.mock_gateway.wiretap import exchange, request

PICTURE = {"image": ("in.png", png(16, 16), "image/png")}
SOUND = {"audio": ("in.wav", wav(1000), "audio/wav")}
ALWAYS_NEED_A_MODEL = ["image-to-image", "image-to-video", "upscale"]
NEED_A_MODEL_WHEN_MONITORED = ["segment-anything-2", "image-to-text", "audio-to-text"]


async def drops(mock_gateway: MockGateway, sent: Coroutine[Any, Any, httpx.Response]) -> int:
    """Wait for the response that never comes, see that the gateway goes on; return how often its runner was called."""
    with pytest.raises(httpx.RemoteProtocolError):
        await sent
    async with connect(mock_gateway) as another:
        assert (await another.get("/healthz")).status_code == 200
    assert mock_gateway.counters["crashes"] == 0
    dropped = mock_gateway.requests[0]
    assert (dropped.outcome, dropped.status) == ("dropped", None)
    return dropped.runner_calls


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failing_runner_is_called_20_times(
    mock_gateway: MockGateway, client: httpx.AsyncClient, stream: bool
) -> None:
    chat = CHAT | {"model": "mock/runner-error", "stream": stream}
    assert await drops(mock_gateway, client.post("/llm", json=chat)) == 20
    assert (await client.post("/llm", json=CHAT)).status_code == 200
    assert mock_gateway.requests[-1].runner_calls == 1


@pytest.mark.parametrize("route", [*ALWAYS_NEED_A_MODEL, "segment-anything-2", "image-to-text"])
@pytest.mark.parametrize("files", [{}, {"image": b"no picture"}, {"image": b""}])
async def test_a_missing_or_undecodable_image(
    mock_gateway: MockGateway, client: httpx.AsyncClient, route: str, files: dict[str, bytes]
) -> None:
    sent = client.post(f"/{route}", data={"model_id": "m"}, files=files | {"other": b"x"})
    await drops(mock_gateway, sent)


@pytest.mark.parametrize("head", [b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP"])
async def test_images_of_other_kinds(client: httpx.AsyncClient, head: bytes) -> None:
    response = await client.post("/upscale", data={"model_id": "m"}, files={"image": head})
    assert response.status_code == 200


async def test_an_unknown_model(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    assert await drops(mock_gateway, client.post("/llm", json=CHAT | {"model": "mock/no-orchestrators"})) == 0


@pytest.mark.parametrize("monitor", [False, True])
@pytest.mark.parametrize("route", [*ALWAYS_NEED_A_MODEL, *NEED_A_MODEL_WHEN_MONITORED])
async def test_a_missing_model(route: str, monitor: bool) -> None:
    files = SOUND if route == "audio-to-text" else PICTURE
    async with MockGateway(Options(monitor=monitor)) as gateway, connect(gateway) as client:
        sent = client.post(f"/{route}", data={"prompt": "p"}, files=files)
        if route in ALWAYS_NEED_A_MODEL or monitor:
            await drops(gateway, sent)
        else:
            assert (await sent).status_code == 200


async def test_overload_drops_what_is_too_much() -> None:
    """As on a real gateway with a capacity of 4: of 14 chats at once, 10 are dropped."""
    async with MockGateway(Options(capacity=4)) as gateway, connect(gateway) as client:
        held = CHAT | {"model": "mock/hold=chats"}
        chats = [asyncio.create_task(client.post("/llm", json=held)) for _ in range(14)]
        await gateway.wait_for(held=4, finished=10)
        gateway.release("chats")
        ends = await asyncio.gather(*chats, return_exceptions=True)
        assert sum(isinstance(end, httpx.RemoteProtocolError) for end in ends) == 10
        assert [end.status_code for end in ends if isinstance(end, httpx.Response)] == [200] * 4
        assert (await client.post("/llm", json=CHAT)).status_code == 200


async def test_a_client_that_leaves_gives_its_capacity_back() -> None:
    async with MockGateway(Options(capacity=1)) as gateway, connect(gateway) as client:
        chat = asyncio.create_task(client.post("/llm", json=CHAT | {"model": "mock/stall"}))
        await gateway.wait_for(held=1)
        chat.cancel()
        await gateway.wait_for(finished=1)
        assert (await client.post("/llm", json=CHAT)).status_code == 200


async def test_a_runner_that_fails_in_the_middle_of_a_stream(mock_gateway: MockGateway) -> None:
    chat = json.dumps(CHAT | {"stream": True, "model": "mock/fail-after=2"}).encode()
    sent = await exchange(mock_gateway.port, request("/llm", body=chat))
    events = [json.loads(line[6:]) for line in sent.split(b"\n") if line.startswith(b"data: ")]
    assert [event["usage"]["completion_tokens"] for event in events] == [1, 2, 0]
    assert b'data: {"choices":null,' in sent
    assert not sent.endswith(b"0\r\n\r\n"), "the stream is cut, not ended"
    assert mock_gateway.counters["crashes"] == 1


@pytest.mark.parametrize("bad", [{"model": "mock/fail-after=1"}, {"top_p": 0}])
async def test_a_crash_costs_the_orchestrator_its_capacity_for_good(bad: dict[str, Any]) -> None:
    async with MockGateway(Options(capacity=2), crash=True) as gateway, connect(gateway) as client:
        for left in (1, 0):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/llm", json=CHAT | {"stream": True} | bad)
            await gateway.crashed.wait()
            await gateway.start(port=gateway.port)
            if left:
                assert (await client.post("/llm", json=CHAT)).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/llm", json=CHAT)
        gateway.reset()
        assert (await client.post("/llm", json=CHAT)).status_code == 200


async def test_what_lived_in_the_memory_is_lost_with_the_process() -> None:
    async with MockGateway(crash=True) as gateway, connect(gateway) as client:
        made = await client.post("/text-to-image", json={"model_id": "m"})
        url = made.json()["images"][0]["url"]
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/healthz", headers={"x-mock-gateway": "crash"})
        await gateway.start(port=gateway.port)
        assert (await client.get(url)).status_code == 404
        assert gateway.counters["seen"] == 3, "the records are the test's, not the process's"


async def test_byoc_workers_that_all_fail_are_an_empty_success(client: httpx.AsyncClient) -> None:
    response = await client.post("/process/request/x", headers=job(capability="mock/runner-error"))
    assert (response.status_code, response.content) == (200, b"")


SENDERS: list[Callable[[httpx.AsyncClient], Coroutine[Any, Any, httpx.Response]]] = [
    lambda client: client.post("/process/request/x", headers=job()),
    lambda client: client.post("/process/stream/start", json={}, headers=job()),
]


@pytest.mark.parametrize("send", SENDERS)
async def test_byoc_finds_nobody_off_the_chain(
    send: Callable[[httpx.AsyncClient], Coroutine[Any, Any, httpx.Response]],
) -> None:
    async with MockGateway(Options(offchain=True)) as gateway, connect(gateway) as client:
        response = await send(client)
    assert (response.status_code, response.text) == (400, "No orchestrators found for capability c\n")
