"""Request bodies that name resources: read whole, within bounds, and passed on."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

import msgspec
from starlette.types import Message, Receive

from middlewares.body_buffers import BodyBuffers
from middlewares.client_text import check_length
from middlewares.exchange import Exchange, Refusal
from middlewares.json_codec import decode, nested_too_deeply
from middlewares.tenancy.affinity_table import Resource, ResourceKind
from middlewares.tenancy.resource_paths import own_name

MAX_BYTES = 10 << 20
"""The gateway's own limit for the start of a stream (gateway contract section 1.7)."""
IDLE_SECONDS = 10.0

_JSON = msgspec.json.Decoder()
_ID_BYTES = 4
_NAME_MEMBERS = ("stream_name", "stream_id")
_STREAM_NAME = re.compile("[A-Za-z0-9._-]*")


async def read_body(receive: Receive, exchange: Exchange, buffers: BodyBuffers) -> bytes:
    """Return the request body.

    Raises `Refusal`: 400 if the client left, 408 if it stalls, 413 over `MAX_BYTES`, 429 or 503 where too much is in
    memory already.
    """
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await _receive_with_timeout(receive)
        if message["type"] == "http.disconnect":
            raise Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        buffers.take(exchange, len(chunks[-1]))
        if size > MAX_BYTES:
            raise Refusal(413, "body_too_large", f"The body may have at most {MAX_BYTES} bytes here.", close=True)
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _receive_with_timeout(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            return await receive()
    except TimeoutError:
        raise Refusal(408, "request_timeout", "The body did not arrive in time.", close=True) from None


def replay(body: bytes, exchange: Exchange, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` in place of the one that was read."""
    exchange.content_length = len(body)
    exchange.has_body = bool(body)
    unread: bytes | None = body

    async def receive_again() -> Message:
        nonlocal unread
        if unread is None:
            return await receive()
        whole, unread = unread, None
        return {"type": "http.request", "body": whole, "more_body": False}

    return receive_again


def requested_video(app: str, body: bytes) -> Resource:
    """Return the asynchronous video that the body requests (gateway contract section 1.3). Raises `Refusal` (400)."""
    document = _parse_object(body, ("request_id",))
    name = document.get("request_id")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "invalid_parameter", "`request_id` must be a string.", members={"parameter": "request_id"})
    check_length("request_id", name)
    return Resource(app, ResourceKind.VIDEO, name)


def started_stream(app: str, body: bytes) -> tuple[Resource, bytes]:
    """Return the stream that the body starts, and the body for the gateway, which then uses exactly that id.

    By itself the gateway joins `stream_name` and `stream_id`, or makes an id up (gateway contract section 1.7). An
    output that the client names is dropped: the gateway would push to any address. Raises `Refusal` (400, 404).
    """
    document = _parse_object(body, (*_NAME_MEMBERS, "rtmp_output"))
    parts = [document.pop(name, None) or "" for name in _NAME_MEMBERS]
    document.pop("rtmp_output", None)
    if not all(isinstance(part, str) and _STREAM_NAME.fullmatch(part) for part in parts):
        raise Refusal(400, "invalid_parameter", "A stream name has only letters, digits, `.`, `_` and `-`.")
    for member, part in zip(_NAME_MEMBERS, parts, strict=True):
        check_length(member, part)
    name = own_name(app, "-".join(filter(None, (parts[0], parts[1] or secrets.token_hex(_ID_BYTES)))))
    document["stream_id"] = name
    return Resource(app, ResourceKind.BYOC, name), msgspec.json.encode(document)


def _parse_object(body: bytes, members: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises `Refusal` (400), also for `members` in other letter case.

    The gateway's decoder ignores case.
    """
    document = None if nested_too_deeply(body) else decode(_JSON, body)
    if not isinstance(document, dict):
        raise Refusal(400, "malformed_json", "The body must be a JSON object.")
    for name in document:
        if name not in members and name.casefold() in members:
            raise Refusal(400, "invalid_parameter", f"`{name}` must be spelled `{name.casefold()}`.")
    return document
