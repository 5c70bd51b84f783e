"""What the mock gateway remembers, and waiting for it: in process and over the control surface."""

import asyncio
import hashlib

import aiohttp
import httpx
import pytest

from proxy.mock_gateway import MockGateway
from tests.mock_gateway.conftest import connect
from tests.mock_gateway.wiretap import Peer, exchange, request


async def test_a_request_is_recorded_as_it_arrived(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    lines = ["X-Request-ID: 01J", "x-a: 1", "X-A:   two  ", "X-Latin: caf\xe9", "Connection: close"]
    await exchange(
        mock_gateway.port, request("/llm?x=%2F&x=a+b", *lines, method="PUT", body=b"hi").replace(b"\xc3\xa9", b"\xe9")
    )
    (seen,) = mock_gateway.requests
    assert (seen.method, seen.target, seen.request_id) == ("PUT", "/llm?x=%2F&x=a+b", "01J")
    assert [name for name, _ in seen.headers] == [
        "Host",
        "X-Request-ID",
        "x-a",
        "X-A",
        "X-Latin",
        "Connection",
        "Content-Length",
    ]
    assert seen.header("x-latin") == "caf\xe9"
    assert (seen.body_length, seen.body_sha256) == (2, hashlib.sha256(b"hi").hexdigest())
    assert (seen.outcome, seen.status, seen.chunks_sent, seen.disconnected_at) == ("complete", 200, 0, None)
    (shown,) = (await client.get("/__mock/requests")).json()
    assert shown == seen.as_dict() | {"headers": [list(header) for header in seen.headers]}


async def test_an_upload_cut_short_is_aborted(mock_gateway: MockGateway) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/live/m/0.ts", body=b"G" * 10)[:-5])
    await mock_gateway.wait_for(seen=1)
    await peer.close()
    await mock_gateway.wait_for(finished=1)
    (seen,) = mock_gateway.requests
    assert (seen.outcome, seen.body_complete, seen.status, seen.disconnected_at) == ("aborted", False, None, 0)


async def test_counters_and_peak(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    held = [asyncio.ensure_future(client.get("/healthz", headers={"x-mock-gateway": "hold=g"})) for _ in range(5)]
    counters = await mock_gateway.wait_for(held=5)
    assert counters == {"seen": 5, "finished": 0, "in_flight": 5, "peak": 5, "held": 5, "crashes": 0}
    mock_gateway.release("g")
    await asyncio.gather(*held)
    await client.get("/healthz", headers={"x-mock-gateway": "hold=g"})  # released for good
    assert mock_gateway.counters == {"seen": 6, "finished": 6, "in_flight": 0, "peak": 5, "held": 0, "crashes": 0}


async def test_reset_lets_go_of_everything(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    stalled = asyncio.ensure_future(client.get("/healthz", headers={"x-mock-gateway": "stall"}))
    await mock_gateway.wait_for(held=1)
    mock_gateway.reset()
    assert (await stalled).status_code == 200
    assert mock_gateway.counters == dict.fromkeys(["seen", "finished", "in_flight", "peak", "held", "crashes"], 0)
    again = asyncio.ensure_future(client.get("/healthz", headers={"x-mock-gateway": "hold=g"}))
    await mock_gateway.wait_for(held=1)
    mock_gateway.release("g")
    await again


async def test_waiting_can_fail(mock_gateway: MockGateway) -> None:
    with pytest.raises(TimeoutError, match=r"have .*'seen': 0"):
        await mock_gateway.wait_for(seen=1, timeout=0.01)
    with pytest.raises(ValueError, match="unknown counter sene"):
        await mock_gateway.wait_for(sene=1)


async def test_control_surface(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    held = asyncio.ensure_future(client.get("/healthz", headers={"x-mock-gateway": "hold=g"}))
    waited = await client.get("/__mock/wait?held=1&seen=1&timeout=10")
    assert (waited.status_code, waited.json()["in_flight"]) == (200, 1)
    assert (await client.get("/__mock/wait?finished=1&timeout=0.01")).status_code == 408
    finished = asyncio.ensure_future(client.get("/__mock/wait?finished=1"))
    assert (await client.post("/__mock/release?name=g")).status_code == 200
    assert (await finished).json()["finished"] == 1
    assert (await held).status_code == 200
    assert len((await client.get("/__mock/requests?last=1")).json()) == 1
    assert (await client.post("/__mock/reset")).json()["seen"] == 0
    assert mock_gateway.requests == []
    for path in ("/__mock/wait?seen=x", "/__mock/wait?timeout=x"):
        assert (await client.get(path)).status_code == 400
    assert (await client.get("/__mock/reset")).status_code == 404


async def test_a_waiting_client_may_leave(mock_gateway: MockGateway, client: httpx.AsyncClient) -> None:
    peer = await Peer.connect(mock_gateway.port)
    await peer.send(request("/__mock/wait?seen=2&timeout=600", method="GET"))
    await client.get("/healthz")
    await peer.close()
    await client.get("/healthz")
    assert mock_gateway.counters["seen"] == 2


async def test_records_are_bounded() -> None:
    async with MockGateway(keep=3) as mock_gateway, connect(mock_gateway) as client:
        for number in range(5):
            await client.get(f"/{number}")
        assert [seen.target for seen in mock_gateway.requests] == ["/2", "/3", "/4"]
        assert mock_gateway.counters["finished"] == 5


@pytest.mark.slow
async def test_sessions_are_bounded() -> None:
    async with MockGateway() as mock_gateway, connect(mock_gateway) as client:
        urls = []
        for _ in range(1001):
            response = await client.post("/text-to-image", json={"model_id": "m", "width": 8, "height": 8})
            urls.append(response.json()["images"][0]["url"])
        assert (await client.get(urls[0])).status_code == 404
        assert (await client.get(urls[1])).status_code == 200


@pytest.mark.slow
async def test_500_at_once(mock_gateway: MockGateway) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "stream": True}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(mock_gateway.url, connector=connector) as session:

        async def ask() -> str:
            async with session.post("/llm", json=chat, headers={"x-mock-gateway": "hold=all"}) as response:
                return (await response.text())[-2:]

        clients = [asyncio.create_task(ask()) for _ in range(500)]
        assert (await mock_gateway.wait_for(held=500, timeout=60))["peak"] == 500
        mock_gateway.release("all")
        assert set(await asyncio.gather(*clients)) == {"\n\n"}
    assert [seen.outcome for seen in mock_gateway.requests] == ["complete"] * 500


async def test_stop_drops_what_is_open_and_can_be_undone() -> None:
    mock_gateway = MockGateway()
    await mock_gateway.start()
    port = mock_gateway.port
    peer = await Peer.connect(port)
    await peer.send(request("/llm", "X-Mock-Gateway: stall"))
    await mock_gateway.wait_for(held=1)
    await mock_gateway.stop()
    assert await peer.rest() == b""
    await peer.close()
    assert [seen.outcome for seen in mock_gateway.requests] == ["aborted"]
    with pytest.raises(ConnectionRefusedError):
        await Peer.connect(port)
    await mock_gateway.start(port=port)
    assert b" 200 " in await exchange(port, request("/healthz", "X-Mock-Gateway: close"))
    await mock_gateway.stop()
