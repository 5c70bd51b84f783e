"""What is written in one turn of the loop leaves at its end: whole, in order, and whatever becomes of the others."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.network.write_batch import MOST, BufferedWriter, WriteBatch
from proxy.upstream import Timeouts
from tests.upstream.fakes import OpenPool, Reader, Serve, Writer, get, read, read_head


class Far:
    """The other end of a connection, and our writer of it."""

    def __init__(self, writer: BufferedWriter, transport: asyncio.Transport, end: socket.socket) -> None:
        self.writer = writer
        self.transport = transport
        self._end = end

    def arrived(self) -> bytes:
        """What is there, without waiting."""
        try:
            return self._end.recv(1 << 20)
        except BlockingIOError:
            return b""

    async def read(self, size: int) -> bytes:
        """So many bytes, or all until the end."""
        loop = asyncio.get_running_loop()
        found = b""
        while len(found) < size and (data := await loop.sock_recv(self._end, 1 << 16)):
            found += data
        return found


@asynccontextmanager
async def connection(turn: WriteBatch) -> AsyncIterator[Far]:
    near, end = socket.socketpair()
    end.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    try:
        yield Far(BufferedWriter(transport, turn, loop), transport, end)
    finally:
        transport.close()
        end.close()


async def test_nothing_leaves_before_the_end_of_the_turn_and_all_does_then() -> None:
    turn = WriteBatch()
    async with connection(turn) as first, connection(turn) as second:
        first.writer.write(b"a")
        second.writer.write(b"b")
        first.writer.write(b"c")
        assert (first.arrived(), second.arrived()) == (b"", b"")
        assert not first.writer.empty
        assert (await first.read(2), await second.read(1)) == (b"ac", b"b")
        assert first.writer.empty


async def test_large_parts_do_not_overtake_small_ones() -> None:
    async with connection(WriteBatch()) as far:
        large = bytes(range(256)) * 512
        far.writer.write(b"head")
        far.writer.write_now([large, b"end"])
        far.writer.write(b"next")
        assert await far.read(len(large) + 11) == b"head" + large + b"endnext"


async def test_one_connection_cannot_pile_up_without_bound() -> None:
    async with connection(WriteBatch()) as far:
        part = b"x" * 1024
        for _ in range(MOST // len(part) + 1):
            far.writer.write(part)
        assert far.arrived()


async def test_what_waits_is_written_before_the_connection_closes() -> None:
    async with connection(WriteBatch()) as far:
        far.writer.write(b"last words")
        far.writer.close()
        assert await far.read(1 << 16) == b"last words"


async def test_what_waits_is_dropped_by_an_abort() -> None:
    async with connection(WriteBatch()) as far:
        far.writer.write(b"never")
        far.writer.abort()
        assert await far.read(1 << 16) == b""


async def test_a_connection_that_is_gone_takes_nobody_with_it() -> None:
    turn = WriteBatch()
    async with connection(turn) as gone, connection(turn) as other:
        gone.writer.write(b"lost")
        other.writer.write(b"kept")
        gone.transport.abort()
        assert await other.read(4) == b"kept"
        gone.writer.write(b"lost, too")
        other.writer.write(b"again")
        assert await other.read(5) == b"again"


async def test_an_answer_that_comes_before_its_request_left_ends_the_connection(
    serve: Serve, open_pool: OpenPool
) -> None:
    """It is the answer to something else, and so would be the one after it."""

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    pool = open_pool(await serve(handler))
    assert await read(await get(pool)) == b"ok"
    [connection] = pool._idle
    response = connection.exchange(b"GET / HTTP/1.1\r\n\r\n", None, None, Timeouts(), bodiless=False)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert response.complete
    assert not connection.usable
