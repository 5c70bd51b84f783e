"""The request body on its way from the client to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message, Receive

from middlewares.connection import ClientConnection
from middlewares.exchange import Refusal
from proxy.forwarding.disconnect import ClientGone


async def open_body(
    receive: Receive, connection: ClientConnection, idle_seconds: float
) -> bytes | AsyncIterator[bytes] | None:
    """Return the body as the upstream client takes it: whole if it is all here, else as an iterator of its parts.

    Raises `ClientGone` for a client that left, `Refusal` (408) for one that sends nothing for `idle_seconds`.
    """
    first = await (receive() if connection.body_received() else receive_with_timeout(receive, idle_seconds))
    return StreamedBody(first, receive, idle_seconds) if first.get("more_body") else body_part(first)


async def receive_with_timeout(receive: Receive, seconds: float) -> Message:
    """Return the next part of the body. Raises `Refusal` (408) for a client that stalls: it holds a connection."""
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError:
        detail = f"Nothing of the request body arrived for {seconds:g} seconds."
        raise Refusal(408, "request_stalled", detail, close=True) from None


def body_part(message: Message) -> bytes:
    """Return the bytes of a request message. Raises `ClientGone`: a disconnect before the last part is no end."""
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    return body


class StreamedBody:
    """A request body that is still arriving."""

    def __init__(self, first: Message, receive: Receive, idle_seconds: float) -> None:
        self._next: Message | None = first
        self._receive = receive
        self._idle_seconds = idle_seconds
        self._complete = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message, self._next = self._next, None
        while not self._complete:
            if message is None:
                message = await receive_with_timeout(self._receive, self._idle_seconds)
            body = body_part(message)
            self._complete = not message.get("more_body")
            if body:
                return body
            message = None
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Take note that the gateway wants no more of it."""
