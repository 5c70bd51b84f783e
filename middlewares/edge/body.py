"""Reading request bodies within bounds."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from starlette.types import Message, Receive

from config.access import Edge
from config.workloads import Workload
from middlewares.edge.declared import declare, missing
from middlewares.edge.openai import chat_request
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
    """The body of a metered route: read ahead when a stage asks what it declares, then replayed.

    Byte for byte, but for members that the gateway needs and the client left out: they are added at the end.
    """

    __slots__ = ("_arrived", "_buffered", "_declared", "_exchange", "_openai", "_receive", "_settings", "_workload")

    def __init__(
        self,
        exchange: Exchange,
        workload: Workload,
        receive: Receive,
        arrived: Callable[[], bool],
        settings: Edge,
        *,
        openai: bool = False,
    ) -> None:
        """`arrived`: is the whole body here? Then reading it needs no timer. `openai`: it is written anew."""
        self._exchange = exchange
        self._openai = openai
        self._workload = workload
        self._receive = receive
        self._arrived = arrived
        self._settings = settings
        self._buffered: bytes | None = None
        self._declared: Declared | None = None

    async def declare(self) -> Declared:
        """What the body declares. The principal has to be known.

        Raises `Refusal`: 400 for a body that is no JSON object, a wrong parameter or a client that left; 408 when
        the client stops sending; 413 over the limit.
        """
        if self._declared is None:
            principal = self._exchange.principal
            assert principal is not None  # noqa: S101 - strangers' bodies are not read
            body = await self._read()
            document = parse_object(body)
            if self._openai:
                document = chat_request(document)
                body = json.dumps(document).encode()
            added = missing(self._workload, document, self._settings, principal.plan)
            self._declared = declare(
                self._workload, {**document, **added} if added else document, body, self._settings, principal.plan
            )
            self._buffered = with_members(body, added, first=not document) if added else body
            self._exchange.content_length = len(self._buffered)
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
            message = await next_part(self._receive, self._arrived, self._settings.header_seconds)
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)


async def next_part(receive: Receive, arrived: Callable[[], bool], idle_seconds: float) -> Message:
    """The next part of a body that is read ahead.

    Raises `Refusal`: 400 for a client that left, 408 for one that sends nothing for `idle_seconds`.
    """
    if arrived():
        message = await receive()
    else:
        try:
            async with asyncio.timeout(idle_seconds):
                message = await receive()
        except TimeoutError:
            raise Refusal(408, "request_timeout", "The body did not arrive in time.", close=True) from None
    if message["type"] != "http.request":
        raise Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)
    return message


def with_members(body: bytes, members: Mapping[str, object], *, first: bool) -> bytes:
    """`body`, a JSON object, with more members at its end; `first`: it has none yet. Go reads the last of a name."""
    added = msgspec.json.encode(members)[1:]
    return body.rstrip(b" \t\r\n")[:-1] + (added if first else b"," + added)


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
