"""Write coalescing: what one iteration writes leaves at its end, whole, in order, whatever becomes of the others."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.network.write_batch import MAX_BUFFERED, BufferedWriter, WriteBatch


class Peer:
    """The other end of a connection, and our writer to it."""

    def __init__(self, writer: BufferedWriter, transport: asyncio.Transport, end: socket.socket) -> None:
        self.writer = writer
        self.transport = transport
        self._end = end

    def arrived(self) -> bytes:
        """Return what has arrived, without waiting."""
        try:
            return self._end.recv(1 << 20)
        except BlockingIOError:
            return b""

    async def read(self, size: int) -> bytes:
        """Return so many bytes, or all until the end."""
        loop = asyncio.get_running_loop()
        found = b""
        while len(found) < size and (data := await loop.sock_recv(self._end, 1 << 16)):
            found += data
        return found


@asynccontextmanager
async def connection(batch: WriteBatch) -> AsyncIterator[Peer]:
    near, end = socket.socketpair()
    end.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    try:
        yield Peer(BufferedWriter(transport, batch, loop), transport, end)
    finally:
        transport.close()
        end.close()


async def test_nothing_leaves_before_the_end_of_the_turn_and_all_does_then() -> None:
    batch = WriteBatch()
    async with connection(batch) as first, connection(batch) as second:
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
        for _ in range(MAX_BUFFERED // len(part) + 1):
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
    batch = WriteBatch()
    async with connection(batch) as gone, connection(batch) as other:
        gone.writer.write(b"lost")
        other.writer.write(b"kept")
        gone.transport.abort()
        assert await other.read(4) == b"kept"
        gone.writer.write(b"lost, too")
        other.writer.write(b"again")
        assert await other.read(5) == b"again"
