"""Each wait for the gateway has a limit; waits for anybody else have none."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from proxy.upstream import ConnectionPool, ConnectTimeout, FirstByteTimeout, IdleTimeout
from proxy.upstream.timing import Deadline
from tests.upstream.corpus import OK
from tests.upstream.fakes import HOST, PATIENT, OpenPool, Reader, Serve, Writer, get, outlast, read, read_head, until

SHORT = 0.05


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose accept queue is full: the kernel ignores further attempts to connect."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


async def test_connect(black_hole: int) -> None:
    pool = ConnectionPool("127.0.0.1", black_hole)
    with pytest.raises(ConnectTimeout, match=r"cannot connect within 0\.05 s") as timeout:
        await get(pool, timeouts=PATIENT._replace(connect=SHORT))
    assert not timeout.value.request_sent
    assert pool.open == 0


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nX-Slow", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_first_byte(serve: Serve, open_pool: OpenPool, sent: bytes) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(sent)
        await reader.read()

    pool = open_pool(await serve(handler))
    with pytest.raises(FirstByteTimeout, match=r"did not respond within 0\.05 s") as timeout:
        await get(pool, timeouts=PATIENT._replace(first_byte=SHORT))
    assert timeout.value.request_sent
    await until(lambda: pool.open == 0)


async def test_a_head_that_drips_is_no_answer(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: b\r\n")
            await writer.drain()
            await asyncio.sleep(SHORT / 10)

    pool = open_pool(await serve(handler))
    with pytest.raises(FirstByteTimeout):
        await get(pool, timeouts=PATIENT._replace(first_byte=SHORT))


async def test_idle(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await reader.read()

    pool = open_pool(await serve(handler))
    response = await get(pool, timeouts=PATIENT._replace(idle=SHORT))
    assert await response.chunk() == b"half"
    with pytest.raises(IdleTimeout, match=r"nothing for 0\.05 s"):
        await response.chunk()
    assert not response.complete
    await until(lambda: pool.open == 0)


async def test_a_body_that_drips_framing_only_is_idle(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(SHORT / 10)

    response = await get(open_pool(await serve(handler)), timeouts=PATIENT._replace(idle=SHORT))
    with pytest.raises(IdleTimeout):
        await response.chunk()


async def test_a_slow_reader_is_not_an_idle_gateway(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await resumed.wait()
        writer.write(b"half")
        await reader.read()

    resumed = asyncio.Event()
    response = await get(open_pool(await serve(handler)), timeouts=PATIENT._replace(first_byte=SHORT, idle=SHORT))
    await outlast(SHORT)
    assert await response.chunk() == b"half"
    await outlast(SHORT)
    resumed.set()
    assert await response.chunk() == b"half"
    assert response.complete


async def test_a_slow_source_is_not_a_slow_gateway(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        await reader.readexactly(4)
        writer.write(OK)
        await reader.read()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(2):
            await outlast(SHORT)
            yield b"aa"

    pool = open_pool(await serve(handler))
    response = await pool.send(
        b"POST", b"/", HOST, source(), length=4, timeouts=PATIENT._replace(first_byte=SHORT, idle=SHORT)
    )
    assert await read(response) == b"hi"


async def test_a_gateway_that_stops_reading_is_slow(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        await forever.wait()

    async def source() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)

    forever = asyncio.Event()
    pool = open_pool(await serve(handler))
    with pytest.raises(FirstByteTimeout):
        await pool.send(b"POST", b"/", HOST, source(), timeouts=PATIENT._replace(first_byte=SHORT))
    await until(lambda: pool.open == 0)


async def test_a_shorter_limit_follows_a_longer_one_on_the_same_connection(serve: Serve, open_pool: OpenPool) -> None:
    """One timer serves them all: it must move forward as well as back."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(OK)
        await read_head(reader)
        await reader.read()

    gateway = await serve(handler)
    pool = open_pool(gateway, keep_alive=1000)
    assert (await get(pool, timeouts=PATIENT._replace(first_byte=1000))).complete
    with pytest.raises(FirstByteTimeout):
        await get(pool, timeouts=PATIENT._replace(first_byte=SHORT))
    assert gateway.accepted == 1


async def test_no_limit_is_a_limit_too(serve: Serve, open_pool: OpenPool) -> None:
    endless = PATIENT._replace(queue=float("inf"), connect=float("inf"), first_byte=float("inf"), idle=float("inf"))

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await asked.wait()
        writer.write(b"late")
        await reader.read()

    asked = asyncio.Event()
    response = await get(open_pool(await serve(handler)), timeouts=endless)
    reading = asyncio.create_task(response.chunk())
    await asyncio.sleep(0)
    asked.set()
    assert await reading == b"late"


async def test_a_limit_shorter_than_a_tick_of_the_loop_still_strikes(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    pool = open_pool(await serve(handler))
    with pytest.raises(FirstByteTimeout):
        await get(pool, timeouts=PATIENT._replace(first_byte=1e-9))


async def test_a_deadline_moves_both_ways_and_strikes_once() -> None:
    struck: asyncio.Queue[float] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    deadline = Deadline(lambda: struck.put_nowait(loop.time()), loop)
    started = loop.time()
    deadline.start(1000)
    deadline.start(SHORT)
    deadline.start(SHORT / 10)
    deadline.start(SHORT * 2)
    assert await struck.get() >= started + SHORT * 2
    deadline.start(SHORT)
    deadline.cancel()
    await outlast(SHORT)
    assert struck.empty()
