"""The private listener is bounded as the public one is: a client that sends little, or too much, is let go."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.access import Edge
from middlewares.exchange import Refusal
from proxy.server import private_app
from proxy.server.http import bind
from proxy.server.private_app import admin_app
from proxy.server.supervisor import private_server
from proxy.webhooks.requests import refusal_response
from tests.support.raw_http import RawConnection, request

HEAD_SECONDS = 0.3
BODY_SECONDS = 0.3


async def _webhook(request: Request) -> Response:
    """Respond as a webhook does to a body that it reads."""
    try:
        body = await request.body()
    except Refusal as refusal:
        return refusal_response(refusal)
    return Response(str(len(body)))


async def _ready() -> str:
    return ""


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    """Run a private listener with one webhook."""
    monkeypatch.setattr(private_app, "BODY_SECONDS", BODY_SECONDS)
    app = admin_app(lambda: ("text/plain", b"metrics"), _ready, [Route("/hook", _webhook, methods=["POST"])])
    with contextlib.closing(bind("127.0.0.1:0")) as listener:
        running = private_server(app, Edge(header_seconds=HEAD_SECONDS))
        serving = asyncio.create_task(running.serve([listener]))
        await running.listening.wait()
        yield listener.getsockname()
        running.should_exit = True
        await serving


async def test_it_serves_as_before(address: tuple[str, int]) -> None:
    async with await RawConnection.open(address) as client:
        for path, body in (
            ("/metrics", b"metrics"),
            ("/livez", b'{"status":"live"}'),
            ("/readyz", b'{"status":"ready"}'),
        ):
            response = await client.exchange(request("GET", path))
            assert (response.status, response.body) == (200, body)
        assert (await client.exchange(request("POST", "/hook", body=b"four"))).body == b"4"
        assert (await client.exchange(request("GET", "/nothing"))).status == 404


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n", b"GET"])
async def test_a_slow_head_is_closed_in_time(address: tuple[str, int], sent: bytes) -> None:
    started = time.monotonic()
    async with await RawConnection.open(address) as client:
        await client.send(sent)
        received = await client.read_to_end()
    assert time.monotonic() - started < HEAD_SECONDS + 5
    assert received.startswith(b"HTTP/1.1 408" if sent else b"")


async def test_a_head_without_end_is_closed(address: tuple[str, int]) -> None:
    async with await RawConnection.open(address) as client:
        await client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-A: ")
        await asyncio.sleep(0.05)  # the bytes of the read in which a head begins are not counted at once
        for _ in range(5):
            await client.send(b"a" * 8_192)
            await asyncio.sleep(0.01)
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 431")


async def test_a_slow_body_is_408_and_closed(address: tuple[str, int]) -> None:
    async with await RawConnection.open(address) as client:
        await client.send(b"POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123")
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 408")


async def test_a_large_body_is_413(address: tuple[str, int]) -> None:
    async with await RawConnection.open(address) as client:
        response = await client.exchange(request("POST", "/hook", body=b"x" * (private_app.MAX_BODY_BYTES + 1)))
        assert response.status == 413


async def test_a_body_that_nobody_reads_is_bounded(address: tuple[str, int]) -> None:
    async with await RawConnection.open(address) as client:
        await client.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        assert (await client.response()).status == 200
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                await client.send(b"x" * 65_536)
        with contextlib.suppress(ConnectionError):
            await client.read_to_end()
