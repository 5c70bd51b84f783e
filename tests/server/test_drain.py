"""A server that drains: connections end, but no client that is just asking finds its request thrown away."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from config.access import Edge
from proxy.server import protocol
from proxy.server.protocol import HttpConnection, protocol_class
from tests.support.deployment import eventually
from tests.support.raw_http import RawConnection, request

HEAD = request("GET", "/stream/a.ts")


class Draining:
    """A listening server whose responses wait for `release`, and that is told to drain by `drain`."""

    def __init__(self) -> None:
        self._protocol: type[HttpConnection] = protocol_class(Edge())
        self._state = ServerState()
        self._config = Config(self._app, http=self._protocol, interface="asgi3", proxy_headers=False, log_config=None)
        self._config.load()
        self.requested = asyncio.Event()
        self.release = asyncio.Event()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requested.set()
        await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: self._protocol(self._config, self._state, {}), "127.0.0.1", 0)

    def connected(self) -> bool:
        return bool(self._state.connections)

    def drain(self) -> None:
        self._protocol.draining = True
        for connection in list(self._state.connections):
            connection.shutdown()


@pytest.fixture
def draining() -> Draining:
    return Draining()


@pytest.fixture
async def connection(draining: Draining) -> AsyncIterator[RawConnection]:
    async with await draining.listen() as server, await RawConnection.open(server.sockets[0].getsockname()) as client:
        await eventually(draining.connected)
        yield client


async def test_a_first_request_on_its_way_is_answered(draining: Draining, connection: RawConnection) -> None:
    draining.drain()
    draining.release.set()
    response = await connection.exchange(HEAD)
    assert (response.status, response.get("connection")) == (200, "close")
    assert await connection.read_to_end() == b""


async def test_a_further_request_on_its_way_is_answered(draining: Draining, connection: RawConnection) -> None:
    draining.release.set()
    assert (await connection.exchange(HEAD)).get("connection") is None
    draining.drain()
    response = await connection.exchange(HEAD)
    assert (response.status, response.get("connection")) == (200, "close")
    assert await connection.read_to_end() == b""


async def test_a_request_in_the_middle_of_its_head_is_answered(draining: Draining, connection: RawConnection) -> None:
    await connection.send(HEAD[:20])
    draining.drain()
    draining.release.set()
    await connection.send(HEAD[20:])
    assert (await connection.response()).status == 200
    assert await connection.read_to_end() == b""


async def test_a_request_under_way_is_answered_and_is_the_last(draining: Draining, connection: RawConnection) -> None:
    await connection.send(HEAD)
    await draining.requested.wait()
    draining.drain()
    draining.release.set()
    assert (await connection.response()).get("connection") == "close"
    assert await connection.read_to_end() == b""


async def test_a_connection_that_comes_late_is_answered_once(draining: Draining) -> None:
    """The kernel had accepted it before the listener was closed."""
    async with await draining.listen() as server:
        draining.drain()
        draining.release.set()
        async with await RawConnection.open(server.sockets[0].getsockname()) as connection:
            assert (await connection.exchange(HEAD)).get("connection") == "close"
            assert await connection.read_to_end() == b""


@pytest.mark.parametrize("asks", [0, 1])
async def test_a_connection_that_stays_idle_is_closed(
    draining: Draining, connection: RawConnection, asks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "DRAIN_SECONDS", 0.01)
    draining.release.set()
    for _ in range(asks):
        await connection.exchange(HEAD)
    draining.drain()
    assert await connection.read_to_end() == b""
