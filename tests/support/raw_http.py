"""A client that says exactly what it is told, byte for byte, and hides nothing of what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

PATIENCE = 30.0
"""Seconds after which something that must arrive counts as lost; nothing waits for it to pass."""
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Head:
    """Status and fields of an answer, as received."""

    status: int
    fields: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        """The first value of a field, whatever its case."""
        return next((value for key, value in self.fields if key.lower() == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name]


@dataclass(frozen=True, slots=True)
class Answer(Head):
    """A whole answer."""

    body: bytes

    @property
    def code(self) -> Any:
        """The code of a problem document."""
        return json.loads(self.body)["code"]


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Self:
        """Connect."""
        return cls(*await asyncio.open_connection(*address, limit=1 << 20))

    @property
    def port(self) -> int:
        """This end's."""
        port: int = self._writer.get_extra_info("sockname")[1]
        return port

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up, and wait until the connection is gone."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def leave(self) -> None:
        """Be gone at once: what is on its way is lost."""
        self._writer.transport.abort()

    def end(self) -> None:
        """Say that nothing more will be sent; what comes back can still be read."""
        self._writer.write_eof()

    async def send(self, data: bytes) -> None:
        """Hand these bytes to the network, as fast as it takes them."""
        self._writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    async def head(self) -> Head:
        """The next head, an interim one (1xx) included."""
        async with asyncio.timeout(PATIENCE):
            raw = await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = raw[:-4].decode("latin-1").split("\r\n")
        fields = [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
        return Head(int(status.split(" ", 2)[1]), fields)

    async def body(self, head: Head, method: str = "GET") -> AsyncIterator[bytes]:
        """The pieces of that answer's body as they arrive; raises `EOFError` where it ends too early."""
        if method == "HEAD" or head.status in {204, 304}:
            return
        if head.get("transfer-encoding") == "chunked":
            while size := int(await self._line(), 16):
                async for piece in self._exactly(size):
                    yield piece
                assert await self._line() == b"\r\n"
            assert await self._line() == b"\r\n", "no trailers"
            return
        length = head.get("content-length")
        assert length is not None, "an answer of an HTTP/1.1 server to an HTTP/1.1 client has one framing or the other"
        async for piece in self._exactly(int(length)):
            yield piece

    async def answer(self, method: str = "GET") -> Answer:
        """The next whole answer, interim ones skipped."""
        head = await self.head()
        while head.status < 200:
            head = await self.head()
        return Answer(head.status, head.fields, b"".join([piece async for piece in self.body(head, method)]))

    async def ask(self, *pieces: bytes, method: str = "GET") -> Answer:
        """Send pieces and read the answer, both at once, so that neither waits for the other."""

        async def say() -> None:
            for piece in pieces:
                await self.send(piece)

        saying = asyncio.create_task(say())
        try:
            return await self.answer(method)
        finally:
            saying.cancel()
            await asyncio.wait([saying])
            with contextlib.suppress(asyncio.CancelledError, OSError):
                saying.result()

    async def rest(self) -> bytes:
        """Everything until the other side closes, orderly or by a reset."""
        received = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await self._reader.read(_PIECE):
                    received += piece
        return received

    async def _line(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the answer ended inside its body")
        return line

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            async with asyncio.timeout(PATIENCE):
                piece = await self._reader.read(min(size, _PIECE))
            if not piece:
                raise EOFError("the answer ended inside its body")
            size -= len(piece)
            yield piece


def request(
    method: str, target: str, fields: Iterable[tuple[str, str]] = (), body: bytes | None = None, *, host: str = "gate"
) -> bytes:
    """A request with a body of known length, or none."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
