"""HTTP/1.1 client that sends exactly the bytes it is given and hides nothing of what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

TIMEOUT_SECONDS = 60.0
"""Seconds after which something that must arrive counts as lost; no passing test waits this long."""
_READ_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers of a response, as received."""

    status: int
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        """Return the first value of a header, whatever the case of its name; None if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name]


@dataclass(frozen=True, slots=True)
class Response(ResponseHead):
    """Response with its whole body."""

    body: bytes

    @property
    def code(self) -> Any:
        """Error code of a problem document."""
        return json.loads(self.body)["code"]


class RawConnection:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Self:
        """Connect."""
        return cls(*await asyncio.open_connection(*address, limit=1 << 20))

    @property
    def port(self) -> int:
        """Port of this end of the connection."""
        port: int = self._writer.get_extra_info("sockname")[1]
        return port

    @property
    def ended(self) -> bool:
        """Return True if the other side has closed it."""
        return self._reader.at_eof()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and wait until it is gone."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Close the connection at once by a reset; data on its way is lost."""
        self._writer.transport.abort()

    def send_eof(self) -> None:
        """Close the sending half; responses can still be read."""
        self._writer.write_eof()

    async def send(self, data: bytes) -> None:
        """Send bytes, as fast as the network takes them."""
        self._writer.write(data)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._writer.drain()

    async def head(self) -> ResponseHead:
        """Read the next head; an interim one (1xx) counts."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            raw = await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = raw[:-4].decode("latin-1").split("\r\n")
        headers = [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
        return ResponseHead(int(status.split(" ", 2)[1]), headers)

    async def body(self, head: ResponseHead, method: str = "GET") -> AsyncIterator[bytes]:
        """Yield the pieces of a response's body as they arrive. Raises `EOFError` if it ends too early."""
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
        assert length is not None, "Expected a response with one framing or the other, got none"
        async for piece in self._exactly(int(length)):
            yield piece

    async def response(self, method: str = "GET") -> Response:
        """Read the next whole response; interim ones are skipped."""
        head = await self.head()
        while head.status < 200:
            head = await self.head()
        return Response(head.status, head.headers, b"".join([piece async for piece in self.body(head, method)]))

    async def exchange(self, *pieces: bytes, method: str = "GET") -> Response:
        """Send pieces and read the response, both at once, so that neither waits for the other."""

        async def send_all() -> None:
            for piece in pieces:
                await self.send(piece)

        sending = asyncio.create_task(send_all())
        try:
            return await self.response(method)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            with contextlib.suppress(asyncio.CancelledError, OSError):
                sending.result()

    async def read_to_end(self) -> bytes:
        """Read everything until the other side closes, orderly or by a reset."""
        received = b""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            with contextlib.suppress(ConnectionError):
                while piece := await self._reader.read(_READ_SIZE):
                    received += piece
        return received

    async def _line(self) -> bytes:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the response ended inside its body")
        return line

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                piece = await self._reader.read(min(size, _READ_SIZE))
            if not piece:
                raise EOFError("the response ended inside its body")
            size -= len(piece)
            yield piece


def request(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    *,
    host: str = "tollgate",
) -> bytes:
    """Return the bytes of a request with a body of known length, or without one."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body; an empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
