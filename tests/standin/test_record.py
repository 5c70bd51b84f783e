"""What the stand-in remembers, and waiting for it: in process and over the control surface."""

import asyncio
import hashlib

import aiohttp
import httpx
import pytest

from proxy.standin import Standin
from tests.standin.conftest import connect
from tests.standin.wiretap import Peer, exchange, request


async def test_a_request_is_recorded_as_it_arrived(standin: Standin, client: httpx.AsyncClient) -> None:
    lines = ["X-Request-ID: 01J", "x-a: 1", "X-A:   two  ", "X-Latin: caf\xe9", "Connection: close"]
    await exchange(
        standin.port, request("/llm?x=%2F&x=a+b", *lines, method="PUT", body=b"hi").replace(b"\xc3\xa9", b"\xe9")
    )
    (seen,) = standin.requests
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
    (shown,) = (await client.get("/__standin/requests")).json()
    assert shown == seen.as_dict() | {"headers": [list(header) for header in seen.headers]}


async def test_an_upload_cut_short_is_aborted(standin: Standin) -> None:
    peer = await Peer.connect(standin.port)
    await peer.send(request("/live/m/0.ts", body=b"G" * 10)[:-5])
    await standin.wait_for(seen=1)
    await peer.close()
    await standin.wait_for(finished=1)
    (seen,) = standin.requests
    assert (seen.outcome, seen.body_complete, seen.status, seen.disconnected_at) == ("aborted", False, None, 0)


async def test_counters_and_peak(standin: Standin, client: httpx.AsyncClient) -> None:
    held = [asyncio.ensure_future(client.get("/healthz", headers={"x-standin": "hold=g"})) for _ in range(5)]
    counters = await standin.wait_for(held=5)
    assert counters == {"seen": 5, "finished": 0, "in_flight": 5, "peak": 5, "held": 5, "crashes": 0}
    standin.release("g")
    await asyncio.gather(*held)
    await client.get("/healthz", headers={"x-standin": "hold=g"})  # released for good
    assert standin.counters == {"seen": 6, "finished": 6, "in_flight": 0, "peak": 5, "held": 0, "crashes": 0}


async def test_reset_lets_go_of_everything(standin: Standin, client: httpx.AsyncClient) -> None:
    stalled = asyncio.ensure_future(client.get("/healthz", headers={"x-standin": "stall"}))
    await standin.wait_for(held=1)
    standin.reset()
    assert (await stalled).status_code == 200
    assert standin.counters == dict.fromkeys(["seen", "finished", "in_flight", "peak", "held", "crashes"], 0)
    again = asyncio.ensure_future(client.get("/healthz", headers={"x-standin": "hold=g"}))
    await standin.wait_for(held=1)
    standin.release("g")
    await again


async def test_waiting_can_fail(standin: Standin) -> None:
    with pytest.raises(TimeoutError, match=r"have .*'seen': 0"):
        await standin.wait_for(seen=1, timeout=0.01)
    with pytest.raises(ValueError, match="unknown counter sene"):
        await standin.wait_for(sene=1)


async def test_control_surface(standin: Standin, client: httpx.AsyncClient) -> None:
    held = asyncio.ensure_future(client.get("/healthz", headers={"x-standin": "hold=g"}))
    waited = await client.get("/__standin/wait?held=1&seen=1&timeout=10")
    assert (waited.status_code, waited.json()["in_flight"]) == (200, 1)
    assert (await client.get("/__standin/wait?finished=1&timeout=0.01")).status_code == 408
    finished = asyncio.ensure_future(client.get("/__standin/wait?finished=1"))
    assert (await client.post("/__standin/release?name=g")).status_code == 200
    assert (await finished).json()["finished"] == 1
    assert (await held).status_code == 200
    assert len((await client.get("/__standin/requests?last=1")).json()) == 1
    assert (await client.post("/__standin/reset")).json()["seen"] == 0
    assert standin.requests == []
    for path in ("/__standin/wait?seen=x", "/__standin/wait?timeout=x"):
        assert (await client.get(path)).status_code == 400
    assert (await client.get("/__standin/reset")).status_code == 404


async def test_a_waiting_client_may_leave(standin: Standin, client: httpx.AsyncClient) -> None:
    peer = await Peer.connect(standin.port)
    await peer.send(request("/__standin/wait?seen=2&timeout=600", method="GET"))
    await client.get("/healthz")
    await peer.close()
    await client.get("/healthz")
    assert standin.counters["seen"] == 2


async def test_records_are_bounded() -> None:
    async with Standin(keep=3) as standin, connect(standin) as client:
        for number in range(5):
            await client.get(f"/{number}")
        assert [seen.target for seen in standin.requests] == ["/2", "/3", "/4"]
        assert standin.counters["finished"] == 5


async def test_sessions_are_bounded() -> None:
    async with Standin() as standin, connect(standin) as client:
        urls = []
        for _ in range(1001):
            answer = await client.post("/text-to-image", json={"model_id": "m", "width": 8, "height": 8})
            urls.append(answer.json()["images"][0]["url"])
        assert (await client.get(urls[0])).status_code == 404
        assert (await client.get(urls[1])).status_code == 200


async def test_500_at_once(standin: Standin) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "stream": True}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(standin.url, connector=connector) as session:

        async def ask() -> str:
            async with session.post("/llm", json=chat, headers={"x-standin": "hold=all"}) as answer:
                return (await answer.text())[-2:]

        asked = [asyncio.create_task(ask()) for _ in range(500)]
        assert (await standin.wait_for(held=500, timeout=60))["peak"] == 500
        standin.release("all")
        assert set(await asyncio.gather(*asked)) == {"\n\n"}
    assert [seen.outcome for seen in standin.requests] == ["complete"] * 500


async def test_stop_drops_what_is_open_and_can_be_undone() -> None:
    standin = Standin()
    await standin.start()
    port = standin.port
    peer = await Peer.connect(port)
    await peer.send(request("/llm", "X-Standin: stall"))
    await standin.wait_for(held=1)
    await standin.stop()
    assert await peer.rest() == b""
    await peer.close()
    assert [seen.outcome for seen in standin.requests] == ["aborted"]
    with pytest.raises(ConnectionRefusedError):
        await Peer.connect(port)
    await standin.start(port=port)
    assert b" 200 " in await exchange(port, request("/healthz", "X-Standin: close"))
    await standin.stop()
