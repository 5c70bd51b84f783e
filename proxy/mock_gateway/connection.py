"""The connection under a request: uvicorn's HTTP protocol, opened up just enough to misbehave.

ASGI hides what the imitation of a crashing gateway needs: closing a connection without a response, writing bytes
that are no HTTP, the request head as it was sent, and being stopped the moment the client leaves, as a Go handler
is by its request's context.
"""

import asyncio
import socket
import struct
from typing import NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "tollgate.mock_gateway"
"""Key of the `Wire` in a scope's extensions."""


class Wire:
    """The connection as one request sees it. `target` and `head`: the request line's target, the header lines."""

    def __init__(self, protocol: "WireProtocol", target: str, head: bytes) -> None:
        self.target = target
        self.head = head
        self._protocol = protocol

    def attach(self) -> None:
        """From now on the current task is cancelled when the connection is lost."""
        self._protocol.running = asyncio.current_task()

    def detach(self) -> None:
        """From now on the task outlives the connection: it has done its work."""
        self._protocol.running = None

    def write(self, data: bytes) -> None:
        """Send bytes as they are, past the HTTP encoder."""
        self._protocol.transport.write(data)

    def close(self, *, by_reset: bool = False) -> None:
        """Close the connection after what has been written; `by_reset`: at once, so that the peer sees RST."""
        transport = self._protocol.transport
        if by_reset:
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    async def gone(self) -> NoReturn:
        """Wait for the end of the connection, which cancels the attached task."""
        while True:
            await asyncio.get_running_loop().create_future()


class WireProtocol(HttpToolsProtocol):
    """uvicorn's protocol; each scope carries a `Wire`."""

    running: asyncio.Task[None] | None = None
    """The task that handles the current request of this connection."""

    def on_message_begin(self) -> None:
        self._head: list[bytes] = []
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.append(b"%b: %b\r\n" % (name, value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        wire = Wire(self, self.url.decode("latin-1"), b"".join(self._head))
        self.scope["extensions"] = {EXTENSION: {"wire": wire}}
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.running is not None:
            self.running.cancel()
