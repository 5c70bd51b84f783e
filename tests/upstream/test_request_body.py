"""A request body that ends wrongly must not look as if it had ended well."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from proxy.upstream import ConnectionDropped, ConnectionPool, RequestIncomplete
from tests.upstream.corpus import OK
from tests.upstream.fakes import HOST, PATIENT, OpenPool, Reader, Serve, Writer, parts, read_body, read_head, until


class ClientGone(Exception):
    pass


class Seen:
    """A gateway that keeps what it receives, to the end of input."""

    def __init__(self, *, answer: bytes = b"") -> None:
        self.data = b""
        self.ended = asyncio.Event()
        self._answer = answer

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        writer.write(self._answer)
        try:
            while data := await reader.read(65536):
                self.data += data
        finally:
            self.ended.set()


@pytest.mark.parametrize("length", [None, 10])
async def test_a_source_that_raises_leaves_the_request_visibly_incomplete(
    serve: Serve, open_pool: OpenPool, length: int | None
) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ClientGone

    gateway = Seen()
    pool = open_pool(await serve(gateway))
    with pytest.raises(ClientGone):
        await pool.send(b"POST", b"/", HOST, source(), length=length, timeouts=PATIENT)
    await gateway.ended.wait()
    assert not gateway.data.endswith(b"0\r\n\r\n")
    assert gateway.data.partition(b"\r\n\r\n")[2] in {b"", b"abc", b"3\r\nabc\r\n"}
    assert pool.idle == 0


async def test_a_source_that_raises_during_the_response_fails_the_response(serve: Serve, open_pool: OpenPool) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"abc"
        await answered.wait()
        raise ClientGone

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await reader.read()

    answered = asyncio.Event()
    pool = open_pool(await serve(handler))
    response = await pool.send(b"POST", b"/", HOST, source(), timeouts=PATIENT)
    assert await response.chunk() == b"half"
    answered.set()
    with pytest.raises(ClientGone):
        await response.chunk()
    assert not response.complete


async def test_a_body_shorter_than_declared_is_never_completed(serve: Serve, open_pool: OpenPool) -> None:
    gateway = Seen()
    pool = open_pool(await serve(gateway))
    with pytest.raises(RequestIncomplete, match="ended 7 bytes before"):
        await pool.send(b"POST", b"/", HOST, parts(b"abc"), length=10, timeouts=PATIENT)
    await gateway.ended.wait()
    assert gateway.data.endswith((b"\r\n\r\n", b"\r\n\r\nabc"))


async def test_a_body_longer_than_declared_never_becomes_a_second_request(serve: Serve, open_pool: OpenPool) -> None:
    gateway = Seen()
    pool = open_pool(await serve(gateway))
    smuggled = b"GET /admin HTTP/1.1\r\n\r\n"
    with pytest.raises(RequestIncomplete, match="longer than its declared length"):
        await pool.send(b"POST", b"/", HOST, parts(b"ab", b"c" + smuggled), length=3, timeouts=PATIENT)
    await gateway.ended.wait()
    assert b"admin" not in gateway.data


async def test_bytes_beyond_a_full_body_are_not_even_asked_for(serve: Serve, open_pool: OpenPool) -> None:
    received = []

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            head = await read_head(reader)
            received.append(await read_body(reader, head))
            writer.write(OK)

    async def source() -> AsyncIterator[bytes]:
        yield b"abc"
        raise AssertionError("asked again")

    pool = open_pool(await serve(handler))
    for _ in range(2):
        response = await pool.send(b"POST", b"/", HOST, source(), length=3, timeouts=PATIENT)
        assert response.complete
    assert (received, pool.open) == ([b"abc"] * 2, 1)


async def test_a_source_that_never_pauses_ends_with_its_connection() -> None:
    """A lost transport swallows every write without ever asking for a pause."""

    def reset_the_first() -> None:
        connection, _ = listener.accept()
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    async def source() -> AsyncIterator[bytes]:
        while True:
            yield b"more"

    with socket.create_server(("127.0.0.1", 0)) as listener:
        resetting = asyncio.get_running_loop().run_in_executor(None, reset_the_first)
        pool = ConnectionPool("127.0.0.1", listener.getsockname()[1])
        with pytest.raises(ConnectionDropped):
            await pool.send(b"POST", b"/", HOST, source(), timeouts=PATIENT)
        await resetting
    await until(lambda: pool.open == 0)


async def test_the_source_is_closed_however_the_exchange_ends(serve: Serve, open_pool: OpenPool) -> None:
    closed = 0

    async def source(*, fail: bool, endless: bool) -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            yield b"abc"
            if fail:
                raise ClientGone
            while endless:
                yield b"more" * 16384
        finally:
            closed += 1

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        await reader.readexactly(3)
        writer.write(OK)
        await reader.read()

    pool = open_pool(await serve(handler))
    await pool.send(b"POST", b"/", HOST, source(fail=False, endless=False), timeouts=PATIENT)
    await until(lambda: closed == 1)
    with pytest.raises(ClientGone):
        await pool.send(b"POST", b"/", HOST, source(fail=True, endless=False), length=9, timeouts=PATIENT)
    await until(lambda: closed == 2)
    response = await pool.send(b"POST", b"/", HOST, source(fail=False, endless=True), timeouts=PATIENT)
    assert response.complete
    await until(lambda: closed == 3)


async def test_a_source_that_fails_to_close_after_a_sent_body_harms_no_later_exchange(
    serve: Serve, open_pool: OpenPool
) -> None:
    class Source:
        def __init__(self) -> None:
            self.given = False

        def __aiter__(self) -> "Source":
            return self

        async def __anext__(self) -> bytes:
            if self.given:
                raise StopAsyncIteration
            self.given = True
            return b"abc"

        async def aclose(self) -> None:
            await closing.wait()
            raise ClientGone

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_body(reader, await read_head(reader))
        writer.write(OK)
        await read_head(reader)
        await second.wait()
        writer.write(OK)
        await reader.read()

    closing, second = asyncio.Event(), asyncio.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    pool = open_pool(await serve(handler))
    response = await pool.send(b"POST", b"/", HOST, Source(), timeouts=PATIENT)
    assert response.complete
    later = asyncio.create_task(pool.send(b"GET", b"/", HOST, timeouts=PATIENT))
    await until(lambda: pool.in_use == 1)
    closing.set()
    await until(lambda: bool(complaints))
    second.set()
    assert (await later).complete
    assert pool.open == 1
