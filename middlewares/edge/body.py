"""Reading request bodies within bounds."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
from starlette.types import Message, Receive

from config.workloads import Workload
from middlewares.edge.declared import declare
from middlewares.exchange import Declared, Exchange, Refusal


class Unread(Protocol):
    """What a connection tells of the body of its request."""

    def body_received(self) -> bool:
        """Has it arrived to its end?"""

    def unread_body(self) -> bytes:
        """What has arrived and was not read."""


_decode = msgspec.json.Decoder().decode


def too_large(limit: int) -> Refusal:
    """The request body is over its limit, in bytes."""
    return Refusal(413, "body_too_large", f"The body may have at most {limit} bytes here.", close=True)


def limited(receive: Receive, limit: int) -> Receive:
    """`receive` that raises `Refusal` (413) as soon as the body exceeds `limit` bytes.

    For chunked bodies, whose length shows only while they stream. Whoever reads lets the refusal pass: it becomes
    the answer if none has begun, otherwise the answer is cut off. Either way the gateway never sees a complete body.
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


def to_its_end(receive: Receive, connection: Unread) -> Receive:
    """`receive` that still gives a body which arrived whole when its client has left in the meantime."""
    ended = False

    async def receive_to_its_end() -> Message:
        nonlocal ended
        message = await receive()
        if message["type"] == "http.disconnect" and not ended and connection.body_received():
            message = {"type": "http.request", "body": connection.unread_body(), "more_body": False}
        ended = not message.get("more_body", False)
        return message

    return receive_to_its_end


class JsonBody:
    """The body of a metered route: read ahead when a stage asks what it declares, then replayed byte for byte."""

    __slots__ = ("_arrived", "_buffered", "_declared", "_exchange", "_idle_seconds", "_receive", "_workload")

    def __init__(
        self,
        exchange: Exchange,
        workload: Workload,
        receive: Receive,
        arrived: Callable[[], bool],
        idle_seconds: float,
    ) -> None:
        """`arrived`: is the whole body here? Then reading it needs no timer. `idle_seconds`: longest wait for more."""
        self._exchange = exchange
        self._workload = workload
        self._receive = receive
        self._arrived = arrived
        self._idle_seconds = idle_seconds
        self._buffered: bytes | None = None
        self._declared: Declared | None = None

    async def declare(self) -> Declared:
        """What the body declares.

        Raises `Refusal`: 400 for a body that is no JSON object, a wrong parameter or a client that left; 408 when
        the client stops sending; 413 over the limit.
        """
        if self._declared is None:
            body = self._buffered = await self._read()
            self._exchange.content_length = len(body)
            self._declared = declare(self._workload, parse_object(body))
        return self._declared

    async def receive(self) -> Message:
        """The ASGI `receive` of the stages that follow."""
        body, self._buffered = self._buffered, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}

    async def _read(self) -> bytes:
        pieces = []
        more = True
        while more:
            message = await self._next()
            if message["type"] != "http.request":
                raise Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def _next(self) -> Message:
        if self._arrived():
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await self._receive()
        except TimeoutError:
            raise Refusal(408, "request_timeout", "The body did not arrive in time.", close=True) from None


def parse_object(body: bytes) -> dict[str, object]:
    """The JSON object in `body`, UTF-8 without a byte order mark (RFC 8259 section 8.1). Raises `Refusal` (400)."""
    try:
        document = _decode(body)
    except UnicodeDecodeError:
        raise _malformed(f"not UTF-8{_first_bad_byte(body)}") from None
    except msgspec.DecodeError as error:
        raise _malformed(str(error).removeprefix("JSON is malformed: ").lower()) from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
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
