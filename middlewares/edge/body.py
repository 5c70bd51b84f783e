"""Reading request bodies within bounds."""

import asyncio
from typing import NamedTuple

import msgspec
from starlette.types import Message, Receive

from middlewares.body_buffers import BodyBuffers
from middlewares.connection import ClientConnection
from middlewares.exchange import Refusal
from middlewares.idempotent_request import RequestFingerprint
from middlewares.json_codec import decode_as_go, nested_too_deeply

SMALL_BODY_BYTES = 8_192
"""A body up to this size is read and parsed as if it were part of the head, before any limit is asked."""

_DECODER = msgspec.json.Decoder()


def too_large(limit: int) -> Refusal:
    """Return the refusal of a request body over its limit, in bytes."""
    return Refusal(413, "body_too_large", f"The body may have at most {limit} bytes here.", close=True)


def limit_body(receive: Receive, limit: int) -> Receive:
    """Return a `receive` that raises `Refusal` (413) as soon as the body exceeds `limit` bytes.

    For chunked bodies, whose length shows only while they stream. Whoever reads lets the refusal pass: it becomes
    the response if none has begun, otherwise the response is cut off. Either way the gateway never sees a complete
    body.
    """
    total = 0

    async def receive_limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise too_large(limit)
        return message

    return receive_limited


class TimedBody:
    """A request body that has to arrive within a time: some seconds, and more for each part that has arrived.

    Only the time counts in which Tollgate waits for the client, not that in which a busy gateway takes nothing.
    """

    __slots__ = ("_bytes_per_second", "_connection", "_left", "_receive", "_seconds")

    def __init__(self, receive: Receive, connection: ClientConnection, seconds: float, bytes_per_second: float) -> None:
        self._receive = receive
        self._connection = connection
        self._seconds = self._left = seconds
        self._bytes_per_second = bytes_per_second

    async def receive(self) -> Message:
        """Return the next message, at once if the body has arrived to its end. Raises `Refusal` (408)."""
        if self._connection.body_received():
            return await self._receive()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout_at(began + self._left):
                message = await self._receive()
        except TimeoutError:
            raise self._late() from None
        self._left += len(message.get("body", b"")) / self._bytes_per_second - (loop.time() - began)
        return message

    def _late(self) -> Refusal:
        detail = (
            f"The body did not arrive in time: it has {self._seconds:g} seconds, and one more for every "
            f"{self._bytes_per_second:g} bytes that have arrived."
        )
        return Refusal(408, "request_timeout", detail, close=True)


def keep_complete_body(receive: Receive, connection: ClientConnection) -> Receive:
    """Return a `receive` that still gives a body which arrived whole when its client has left in the meantime."""
    ended = False

    async def receive_despite_disconnect() -> Message:
        nonlocal ended
        message = await receive()
        if message["type"] == "http.disconnect" and not ended and connection.body_received():
            message = {"type": "http.request", "body": connection.unread_body(), "more_body": False}
        ended = not message.get("more_body", False)
        return message

    return receive_despite_disconnect


class BodySource(NamedTuple):
    """Where the body of one request comes from, and who counts it while it is kept in memory."""

    receive: Receive
    connection: ClientConnection
    buffers: BodyBuffers
    small: bool
    """True: it costs no more than a head does, so that it is neither counted nor checked before it is parsed."""
    fingerprint: RequestFingerprint | None = None
    """Takes what is read past `receive`."""

    def arrived(self) -> bytes | None:
        """Take a small body that is all here, without a wait; None for any other."""
        body = self.connection.whole_body() if self.small else None
        if body is not None and self.fingerprint is not None:
            self.fingerprint.update(body, more=False)
        return body


def parse_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in `body`, UTF-8 without a byte order mark (RFC 8259 section 8.1).

    Raises `Refusal` (400) that says what is wrong, and at which byte.
    """
    if nested_too_deeply(body):
        raise _malformed("nested too deeply")
    try:
        document = decode_as_go(_DECODER, body)
    except UnicodeDecodeError:
        raise _malformed(f"not UTF-8{_first_bad_byte(body)}") from None
    except msgspec.DecodeError as error:
        raise _malformed(str(error).removeprefix("JSON is malformed: ").lower()) from None
    if not isinstance(document, dict):
        raise _malformed("not an object at byte 0")
    return document


def _first_bad_byte(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f" (byte {error.start})"
    return ""


def _malformed(what: str) -> Refusal:
    return Refusal(400, "malformed_json", f"The body must be a JSON object: {what}.")
