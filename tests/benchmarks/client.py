"""Cheap client connection for the load generators: one request at a time, responses counted, not kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools

from tests.benchmarks.programs import LOOPBACK, Failed

Notify = Callable[["KeepAliveConnection"], None]


def request(method: str, path: str, body: bytes, key: str, content_type: str = "application/json") -> bytes:
    """Return the bytes of a whole request with an API key."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def nothing(_: KeepAliveConnection) -> None:
    """Ignore the event."""


class KeepAliveConnection(asyncio.Protocol):
    """Keep-alive connection of HTTP/1.1, with callbacks at the first byte of each response's body and at its end."""

    def __init__(self, on_first: Notify = nothing, on_complete: Notify = nothing, on_lost: Notify = nothing) -> None:
        self._on_first = on_first
        self._on_complete = on_complete
        self._on_lost = on_lost
        self.transport: asyncio.Transport | None = None
        self.begun = self.due = 0
        """Times for a generator in nanoseconds: when the request was sent, and when it should have been."""
        self.status = 0
        self.chunks = 0
        """Number of chunks of the last response, as the server cut them."""
        self._started = False

    @classmethod
    async def open(cls, port: int, *callbacks: Notify) -> KeepAliveConnection:
        """Connect to a port of the loopback interface."""
        connection = cls(*callbacks)
        await asyncio.get_running_loop().create_connection(lambda: connection, LOOPBACK, port)
        return connection

    def send(self, data: bytes) -> None:
        """Send a request once the last response is complete. Raises `Failed` on a lost connection."""
        if self.transport is None:
            raise Failed("the server closed a connection")
        self._parser: Any = httptools.HttpResponseParser(self)
        self._started = False
        self.status = self.chunks = 0
        self.transport.write(data)

    def close(self) -> None:
        """Close the connection at once, which is not an error."""
        self._on_first = self._on_complete = self._on_lost = nothing
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.chunks += 1
        if not self._started:
            self._started = True
            self._on_first(self)

    def on_message_complete(self) -> None:
        self._on_complete(self)
