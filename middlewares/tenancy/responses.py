"""Answers on their way to the client: what they bring into being is remembered, what they link to made reachable."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import Message, Send

from middlewares.exchange import Headers
from middlewares.tenancy.affinity_table import ResourceKind
from middlewares.tenancy.public_urls import PublicUrls

LONGEST_LINK = 128
"""Bytes of a link and what stands before it that may be cut in two on its way."""
REWRITTEN_BYTES = 1 << 20
"""A longer JSON answer is passed on as it is; the gateway's have a few KiB."""

_MADE: dict[int, tuple[ResourceKind, re.Pattern[bytes]]] = {
    200: (ResourceKind.RESULT, re.compile(rb'"url"\s*:\s*"/stream/([0-9a-f]{8})/')),
    202: (ResourceKind.VIDEO, re.compile(rb'"request_id"\s*:\s*"([0-9a-f]{8})"')),
}
"""Ids made by the gateway, by the status of its answer (gateway contract sections 1.0 and 1.3)."""


def noticing(send: Send, notice: Callable[[ResourceKind, set[str]], None]) -> Send:
    """`send` that tells `notice` of the ids in a successful answer, before the part that completes them leaves."""
    made: tuple[ResourceKind, re.Pattern[bytes]] | None = None
    before = b""

    def send_noticing(message: Message) -> Awaitable[None]:
        nonlocal made, before
        if message["type"] == "http.response.start":
            made = _MADE.get(message["status"])
        elif made is not None and (body := message.get("body")):
            kind, ids = made
            text = before + body
            if found := ids.findall(text):
                notice(kind, set(map(bytes.decode, found)))
            before = text[-LONGEST_LINK:] if message.get("more_body") else b""
        return send(message)

    return send_noticing


def with_public_headers(send: Send, urls: PublicUrls) -> Send:
    """`send` that rewrites the links in the head of a WHIP answer."""

    def send_public(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": urls.headers(message["headers"])}
        return send(message)

    return send_public


def with_public_document(send: Send, urls: PublicUrls) -> Send:
    """`send` that rewrites the links in a JSON answer; any other answer passes as it is."""
    head: Message | None = None
    body = bytearray()

    async def send_public(message: Message) -> None:
        nonlocal head
        if message["type"] == "http.response.start" and _is_plain(message):
            head = message
            return
        if head is None:
            await send(message)
            return
        body.extend(message.get("body", b""))
        more = message.get("more_body", False)
        if more and len(body) <= REWRITTEN_BYTES:
            return
        start, head = head, None
        text = bytes(body) if more else _public(bytes(body), urls)
        if not more:
            start = {**start, "headers": _with_length(start["headers"], len(text))}
        await send(start)
        await send({"type": "http.response.body", "body": text, "more_body": more})

    return send_public


def _is_plain(message: Message) -> bool:
    return message["status"] == 200 and all(name != b"content-encoding" for name, _ in message["headers"])


def _public(text: bytes, urls: PublicUrls) -> bytes:
    """`text` with its links rewritten; as it is where it has none, is no JSON, or cannot be written as it was read."""
    try:
        document = msgspec.json.decode(text)
        public = urls.document(document)
        return text if public == document else msgspec.json.encode(public)
    except (ValueError, RecursionError):
        return text


def _with_length(headers: Headers, length: int) -> Headers:
    others = [field for field in headers if field[0] != b"content-length"]
    return [*others, (b"content-length", b"%d" % length)]
