"""Bodies of control requests: small, and soon there."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from middlewares.edge.body import too_large
from middlewares.exchange import Exchange, Refusal


class BoundedBody:
    """The body of one request, bounded in size and time, and counted into `exchange.bytes_in`."""

    def __init__(self, exchange: Exchange, receive: Receive, *, max_bytes: int, seconds: float) -> None:
        """`seconds` are for the whole body and begin when it is first read."""
        self._exchange = exchange
        self._receive = receive
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._deadline: float | None = None
        self._complete = False

    async def receive(self) -> Message:
        """Return the next ASGI message; a `http.disconnect` only after the end of the body.

        Raises `Refusal`: 413 past the size, 408 past the time, 400 for a client that leaves before the end.
        """
        if self._complete:
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, "request_timeout", "The body did not arrive in time.", close=True) from None
        if message["type"] == "http.disconnect":
            raise Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)
        self._exchange.bytes_in += len(message.get("body", b""))
        if self._exchange.bytes_in > self._max_bytes:
            raise too_large(self._max_bytes)
        self._complete = not message.get("more_body", False)
        return message
