"""Raw sockets: what no HTTP client shows or sends."""

import asyncio
import contextlib
import hashlib

DEADLINE = 10.0


class Peer:
    """One TCP connection to the mock gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Peer":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def until(self, mark: bytes) -> bytes:
        """Bytes up to and including `mark`."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.readuntil(mark)

    async def digest(self, size: int) -> bytes:
        """SHA-256 of the next `size` bytes."""
        digest = hashlib.sha256()
        async with asyncio.timeout(DEADLINE):
            while size:
                data = await self._reader.read(min(size, 65_536))
                digest.update(data)
                size -= len(data)
        return digest.digest()

    async def rest(self) -> bytes:
        """Everything until the other side closes; ConnectionResetError if it resets."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.read()

    async def close(self) -> None:
        """Leave at once, whatever is still unsent."""
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def request(target: str, *headers: str, method: str = "POST", body: bytes = b"") -> bytes:
    """One HTTP/1.1 request as bytes."""
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def exchange(port: int, data: bytes) -> bytes:
    """Return what the mock gateway sends for `data` before it closes the connection."""
    peer = await Peer.connect(port)
    try:
        await peer.send(data)
        return await peer.rest()
    finally:
        await peer.close()
