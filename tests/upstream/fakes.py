"""A gateway of raw bytes: each test says what it reads and writes on the socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol, Self

from proxy.upstream import ConnectionPool, Response, Timeouts
from tests.upstream.corpus import OK

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]

HOST = [(b"host", b"gateway.test")]
PATIENT = Timeouts(queue=30, connect=30, first_byte=30, idle=30)


class Gateway:
    """Runs ``handler`` for every connection and closes the connection when it returns."""

    def __init__(self, handler: Handler) -> None:
        self.accepted = 0
        self.port = 0
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def connected(self) -> int:
        """Connections whose handler has not returned."""
        return len(self._tasks)

    def _connected(self, reader: Reader, writer: Writer) -> None:
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._handler(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


class Serve(Protocol):
    async def __call__(self, handler: Handler) -> Gateway: ...


class OpenPool(Protocol):
    def __call__(
        self,
        gateway: Gateway,
        *,
        max_connections: int = 64,
        max_idle: int = 64,
        max_waiting: int = 64,
        keep_alive: float = 60.0,
    ) -> ConnectionPool: ...


async def read_head(reader: Reader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def read_body(reader: Reader, head: bytes) -> bytes:
    """The body of the request with this head, which must be framed by exactly one header or none."""
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    if b"transfer-encoding" in fields:
        assert b"content-length" not in fields
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        return b"".join(parts)
    return await reader.readexactly(int(fields.get(b"content-length", 0)))


def answering(*answers: bytes, close: bool = False) -> Handler:
    """Answers one request with each of ``answers``; then closes, or waits for the client to."""

    async def handler(reader: Reader, writer: Writer) -> None:
        for answer in answers:
            await read_body(reader, await read_head(reader))
            writer.write(answer)
        if not close:
            await reader.read()

    return handler


async def always_ok(reader: Reader, writer: Writer) -> None:
    """Answers every request with ``OK``."""
    while True:
        await read_body(reader, await read_head(reader))
        writer.write(OK)


async def get(pool: ConnectionPool, *, method: bytes = b"GET", timeouts: Timeouts = PATIENT) -> Response:
    return await pool.send(method, b"/", HOST, timeouts=timeouts)


async def read(response: Response) -> bytes:
    """The whole body."""
    parts = [response.buffered()]
    while not response.complete:
        parts.append(await response.chunk())
    return b"".join(parts)


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for part in data:
        yield part


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that no event announces."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def outlast(limit: float) -> None:
    """Lets more time pass than a limit in seconds, which must then not have struck."""
    await asyncio.sleep(limit * 4)
