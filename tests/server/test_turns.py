"""One read of thousands of tiny things: the other connections of a worker have their turn while it is parsed."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from config.access import Edge
from proxy.network.write_batch import WriteBatch
from proxy.server.protocol import HttpConnection, protocol_class
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.timing import Timeouts

ONE_READ = 262_144
"""What an event loop takes from a socket at once."""
PUT = b"PUT /live/movie/0.ts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKS = 12_000


class FakeTransport(asyncio.Transport):
    """Takes what is written, and knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.written = b""
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def write_eof(self) -> None:
        self.closing = True

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True


class Application:
    """Reads each request; responds once `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started = 0
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started += 1
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


class Counted(HttpConnection):
    """Counts what its parser finds."""

    found = 0

    def on_body(self, body: bytes) -> None:
        self.found += 1
        super().on_body(body)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found += 1
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.found += 1
        super().on_headers_complete()


def connect(application: Application) -> tuple[Any, FakeTransport]:
    class Connection(Counted, protocol_class(Edge())):  # type: ignore[misc]
        pass

    config = uvicorn.Config(application, log_config=None, access_log=False, proxy_headers=False, lifespan="off")
    config.load()
    connection = Connection(config=config, server_state=ServerState(), app_state={})
    transport = FakeTransport()
    connection.connection_made(transport)
    return connection, transport


async def turns_until(condition: Any) -> int:
    """Return how many iterations of the event loop it takes."""
    for turns in range(100_000):
        if condition():
            return turns
        await asyncio.sleep(0)
    raise AssertionError("it never comes true")


async def test_tiny_chunks_of_a_request_are_parsed_in_turns() -> None:
    application = Application()
    application.go.set()
    connection, transport = connect(application)
    connection.data_received(PUT + b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n")
    assert connection.found < CHUNKS
    assert not transport.reading
    assert await turns_until(lambda: transport.written) > 1
    assert (application.body, transport.reading) == (b"x" * CHUNKS, True)


@pytest.mark.parametrize(
    "read",
    [PUT + b"1\r\nx\r\n0\r\n" + b"a: b\r\n" * 40_000, GET[:-2] + b"a: b\r\n" * 40_000],
    ids=["trailers", "headers"],
)
async def test_header_fields_without_end_are_not_parsed(read: bytes) -> None:
    connection, transport = connect(Application())
    connection.data_received(read)
    await turns_until(lambda: transport.closing)
    assert b" 431 " in transport.written
    assert connection.found < 40_000


@pytest.mark.ci
async def test_pipelined_requests_are_parsed_as_they_are_answered() -> None:
    application = Application()
    connection, transport = connect(application)
    count = ONE_READ // len(GET)
    connection.data_received(GET * count)
    for _ in range(100):
        await asyncio.sleep(0)
    assert connection.found < 600  # each is worth two, and some kilobytes of memory
    assert not transport.reading
    application.go.set()
    await turns_until(lambda: transport.written.count(b"HTTP/1.1 200") == count)
    assert application.started == count
    assert transport.reading


async def test_what_comes_behind_pipelined_requests_waits_unparsed() -> None:
    application = Application()
    connection, transport = connect(application)
    connection.data_received(GET * 3)
    await asyncio.sleep(0)
    connection.data_received(GET * 5)
    assert (connection.found, transport.reading) == (6, False)
    application.go.set()
    await turns_until(lambda: transport.written.count(b"HTTP/1.1 200") == 8)
    assert transport.reading


async def test_a_head_that_waits_behind_pipelined_requests_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    application = Application()
    connection, transport = connect(application)
    monkeypatch.setattr(connection, "header_seconds", 0.01)
    connection.data_received(GET * 2 + GET[:5])
    connection.data_received(GET[5:])
    fired = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, fired.set)
    await fired.wait()
    application.go.set()
    await turns_until(lambda: transport.written.count(b"HTTP/1.1 200") == 3)
    assert b" 408 " not in transport.written


def dial() -> tuple[UpstreamConnection, FakeTransport, list[UpstreamConnection]]:
    idle: list[UpstreamConnection] = []
    connection = UpstreamConnection("gateway", 60.0, WriteBatch(), on_idle=idle.append, on_lost=lambda _: None)
    transport = FakeTransport()
    connection.connection_made(transport)
    return connection, transport, idle


RESPONSE_CHUNKS = 40_000
RESPONSE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * RESPONSE_CHUNKS + b"0\r\n\r\n"


@pytest.mark.parametrize("ends", [False, True], ids=["kept alive", "closed behind it"])
async def test_tiny_chunks_of_a_response_are_parsed_in_turns(ends: bool) -> None:
    connection, transport, idle = dial()
    response = connection.exchange(b"GET / HTTP/1.1\r\n\r\n", None, None, Timeouts(), bodiless=False)
    await asyncio.sleep(0)
    connection.data_received(RESPONSE)
    assert response.status == 200  # the head at least
    assert response.size < RESPONSE_CHUNKS
    assert not transport.reading
    if ends:
        connection.eof_received()
    await turns_until(lambda: response.complete)
    assert response.buffered() == b"x" * RESPONSE_CHUNKS
    assert idle == [connection]
    connection.connection_lost(None)


async def test_a_connection_with_bytes_behind_a_response_is_not_used_again() -> None:
    """Hazard: the next request on it takes them for its response."""
    connection, transport, idle = dial()
    response = connection.exchange(b"GET / HTTP/1.1\r\n\r\n", None, None, Timeouts(), bodiless=False)
    await asyncio.sleep(0)
    size = 5_000  # the head and the body are slices of their own
    connection.data_received(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        + b"x" * size
    )
    await turns_until(lambda: transport.closing)
    assert (response.complete, response.buffered(), idle) == (True, b"", [])
    connection.connection_lost(None)
