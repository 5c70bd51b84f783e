"""A side that is slow slows the other down; nothing in between grows."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.upstream.fakes import HOST, PATIENT, OpenPool, Reader, Serve, Writer, get, read, read_head, until

HIGH_WATER = 64 * 1024
ONE_READ = 256 * 1024
"""The most that either event loop takes from a socket at once."""

BODY = 64 * 1024 * 1024
PART = 64 * 1024
KERNEL = 16 * 1024 * 1024
"""More than the kernel buffers on both ends of a loopback connection."""


async def settled(count: list[int]) -> int:
    """The value of a counter that no longer moves."""
    same, last = 0, -1
    while same < 50:
        await asyncio.sleep(0.001)
        same, last = (same + 1, last) if count[0] == last else (0, count[0])
    return last


@pytest.mark.parametrize("framing", ["length", "chunked", "until-close"])
async def test_a_stalled_reader_holds_back_the_gateway(serve: Serve, open_pool: OpenPool, framing: str) -> None:
    sent = [0]

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        head = {
            "length": b"Content-Length: %d\r\n" % BODY,
            "chunked": b"Transfer-Encoding: chunked\r\n",
            "until-close": b"",
        }[framing]
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        part = bytes(PART)
        for _ in range(BODY // PART):
            writer.write(b"%x\r\n%b\r\n" % (PART, part) if framing == "chunked" else part)
            await writer.drain()
            sent[0] += PART
        if framing == "chunked":
            writer.write(b"0\r\n\r\n")

    pool = open_pool(await serve(handler))
    response = await get(pool)
    await until(lambda: response.size > HIGH_WATER)
    assert await settled(sent) < KERNEL
    assert response.size <= HIGH_WATER + ONE_READ
    received, largest = 0, 0
    while data := await response.chunk():
        received += len(data)
        largest = max(largest, len(data))
    assert received == BODY
    assert response.complete
    assert largest <= HIGH_WATER + ONE_READ


@pytest.mark.parametrize("length", [None, BODY])
async def test_a_stalled_gateway_holds_back_the_source(serve: Serve, open_pool: OpenPool, length: int | None) -> None:
    given = [0]
    received = 0

    async def source() -> AsyncIterator[bytes]:
        part = bytes(PART)
        while given[0] < BODY:
            given[0] += PART
            yield part

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal received
        await read_head(reader)
        await reading.wait()
        left = BODY if length is not None else BODY + BODY // PART * len(b"10000\r\n\r\n") + len(b"0\r\n\r\n")
        while left:
            data = await reader.read(PART)
            assert data
            left -= len(data)
        received = BODY
        writer.write(b"HTTP/1.1 204 None\r\n\r\n")
        await reader.read()

    reading = asyncio.Event()
    pool = open_pool(await serve(handler))
    sending = asyncio.create_task(pool.send(b"POST", b"/", HOST, source(), length=length, timeouts=PATIENT))
    assert await settled(given) < KERNEL
    reading.set()
    assert (await sending).status == 204
    assert (given[0], received) == (BODY, BODY)
    assert pool.idle == 1


async def test_both_directions_stream_at_once(serve: Serve, open_pool: OpenPool) -> None:
    """An echo: each part is answered before the next one is given, so neither side may wait for an end."""
    turns: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def source() -> AsyncIterator[bytes]:
        while (part := await turns.get()) is not None:
            yield part

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        size = -1
        while size:
            line = await reader.readuntil(b"\r\n")
            size = int(line, 16)
            writer.write(line + await reader.readexactly(size + 2))

    pool = open_pool(await serve(handler))
    response = await pool.send(b"POST", b"/", HOST, source(), timeouts=PATIENT)
    for turn in range(100):
        turns.put_nowait(b"turn %d" % turn)
        assert await response.chunk() == b"turn %d" % turn
    turns.put_nowait(None)
    assert await response.chunk() == b""
    assert response.complete


async def test_an_event_is_delivered_as_soon_as_it_arrives(serve: Serve, open_pool: OpenPool) -> None:
    """Server-sent events: no part waits for the next one."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(20):
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await taken.wait()
            taken.clear()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    taken = asyncio.Event()
    response = await get(open_pool(await serve(handler)))
    for number in range(20):
        assert await response.chunk() == b"data: %d\n\n" % number
        taken.set()
    assert await response.chunk() == b""


async def test_a_response_that_ends_while_nothing_more_of_it_is_taken_leaves_a_connection_that_reads(
    serve: Serve, open_pool: OpenPool
) -> None:
    """Hazard: its last slice is parsed although it is full already, and the next exchange hears nothing."""
    body = bytes(ONE_READ - PART)

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await read_head(reader)
            writer.write(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            )

    gateway = await serve(handler)
    pool = open_pool(gateway)
    for _ in range(20):
        response = await get(pool)
        await until(lambda response=response: response.size > HIGH_WATER)  # type: ignore[misc]
        async with asyncio.timeout(60):
            assert await read(response) == body
    assert gateway.accepted == 1
