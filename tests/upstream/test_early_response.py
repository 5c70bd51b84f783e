"""A gateway may respond before it has read the request, and end before the request does."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from proxy.network.write_batch import WriteBatch
from proxy.upstream import Timeouts
from proxy.upstream.connection import UpstreamConnection
from tests.upstream.fakes import HOST, PATIENT, OpenPool, Reader, Serve, Writer, read, read_head, until

TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig!"


class Endless:
    """A source without end, which knows whether it was stopped."""

    def __init__(self, size: int) -> None:
        self.closed = False
        self._part = bytes(size)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        return self._part

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("size", [1, 65536])
@pytest.mark.parametrize("length", [None, 10**12])
async def test_the_upload_stops_with_the_response_and_the_connection_is_not_reused(
    serve: Serve, open_pool: OpenPool, size: int, length: int | None
) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(TOO_LARGE)
        await gone.wait()

    gone = asyncio.Event()
    pool, source = open_pool(await serve(handler)), Endless(size)
    response = await pool.send(b"POST", b"/", HOST, source, length=length, timeouts=PATIENT)
    assert (response.status, await read(response), response.complete) == (413, b"big!", True)
    await until(lambda: source.closed)
    await until(lambda: pool.open == 0)
    gone.set()


async def test_an_early_head_does_not_stop_the_upload(serve: Serve, open_pool: OpenPool) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"ab"
        await headed.wait()
        yield b"cd"

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        writer.write(await reader.readexactly(4))
        await reader.read()

    headed = asyncio.Event()
    pool = open_pool(await serve(handler))
    response = await pool.send(b"POST", b"/", HOST, source(), length=4, timeouts=PATIENT)
    assert not response.complete
    headed.set()
    assert await read(response) == b"abcd"
    assert pool.idle == 1


async def test_an_answer_to_part_of_a_complete_body_ends_the_connection(serve: Serve, open_pool: OpenPool) -> None:
    """The rest of the body, still in our buffers, would be read as the next request."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(TOO_LARGE)
        await gone.wait()

    gone = asyncio.Event()
    pool = open_pool(await serve(handler))
    response = await pool.send(b"POST", b"/", HOST, bytes(64 * 1024 * 1024), timeouts=PATIENT)
    assert (response.status, await read(response)) == (413, b"big!")
    assert pool.idle == 0
    await until(lambda: pool.open == 0)
    gone.set()


async def test_an_answer_followed_by_a_reset_is_still_read(serve: Serve, open_pool: OpenPool) -> None:
    """A server that refuses a body often closes with unread bytes, which resets the connection."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(TOO_LARGE)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    for _ in range(50):
        pool = open_pool(await serve(handler))
        response = await pool.send(b"POST", b"/", HOST, Endless(65536), timeouts=PATIENT)
        assert (response.status, await read(response)) == (413, b"big!")


async def test_a_response_that_comes_before_its_request_left_ends_the_connection(serve: Serve) -> None:
    """It is the response to something else, and so would be the one after it."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)

    idle: list[UpstreamConnection] = []
    gone = asyncio.Event()
    gateway = await serve(handler)
    made = UpstreamConnection("127.0.0.1", 60, WriteBatch(), on_idle=idle.append, on_lost=lambda _: gone.set())
    _, connection = await asyncio.get_running_loop().create_connection(lambda: made, "127.0.0.1", gateway.port)
    response = connection.exchange(b"GET / HTTP/1.1\r\n\r\n", None, None, Timeouts(), bodiless=False)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert response.complete
    assert not connection.usable
    await gone.wait()
    assert idle == []
