"""Responses on their way to the client: ids of new resources are reported, links are rewritten to the public origin."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from starlette.types import Message, Send

from middlewares.json_codec import decode
from middlewares.large_json import LargeJson
from middlewares.tenancy.affinity_table import ResourceKind
from middlewares.tenancy.public_urls import PublicUrls
from middlewares.whole_response import is_plain, when_whole

MAX_LINK_BYTES = 128
"""Longest link, with what stands before it, that is found across two chunks."""

_JSON = msgspec.json.Decoder()

_CREATED_IDS: dict[int, tuple[ResourceKind, re.Pattern[bytes]]] = {
    200: (ResourceKind.RESULT, re.compile(rb'"url"\s*:\s*"/stream/([0-9a-f]{8})/')),
    202: (ResourceKind.VIDEO, re.compile(rb'"request_id"\s*:\s*"([0-9a-f]{8})"')),
}
"""Kind and pattern of the ids that a gateway made up, by response status (gateway contract sections 1.0 and 1.3)."""


def report_created_ids(send: Send, report: Callable[[ResourceKind, set[str]], None]) -> Send:
    """Return a `send` that calls `report` with the ids in a successful response, before the client has them whole."""
    created: tuple[ResourceKind, re.Pattern[bytes]] | None = None
    before = b""

    def send_reported(message: Message) -> Awaitable[None]:
        nonlocal created, before
        if message["type"] == "http.response.start":
            created = _CREATED_IDS.get(message["status"])
        elif created is not None and (body := message.get("body")):
            kind, ids = created
            text = before + body
            if found := ids.findall(text):
                report(kind, set(map(bytes.decode, found)))
            before = text[-MAX_LINK_BYTES:] if message.get("more_body") else b""
        return send(message)

    return send_reported


def rewrite_headers(send: Send, urls: PublicUrls) -> Send:
    """Return a `send` that rewrites the links in the headers of a WHIP response."""

    async def send_public(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": urls.rewrite_headers(message["headers"])}
        await send(message)

    return send_public


def hide_origins(send: Send, urls: Callable[[], PublicUrls], large_json: LargeJson) -> Send:
    """Return a `send` that hides in errors and redirects where the gateway is; any other response passes as it is."""
    relay = send

    def send_public(message: Message) -> Awaitable[None]:
        nonlocal relay
        if message["type"] == "http.response.start" and message["status"] >= 300:
            public = urls()
            message = {**message, "headers": public.rewrite_headers(message["headers"])}

            def rewritten(body: bytes) -> Awaitable[bytes]:
                return large_json.rewrite(body, partial(_rewrite_error, urls=public))

            relay = when_whole(send, _is_text, rewritten)
        return relay(message)

    return send_public


def _is_text(head: Message) -> bool:
    media_type = dict(head["headers"]).get(b"content-type", b"text/plain").lower()
    return is_plain(head) and (media_type.startswith(b"text/") or b"json" in media_type)


def _rewrite_error(body: bytes, urls: PublicUrls) -> bytes:
    """Return the text of an error without the gateway's own addresses; as it is where it has none, or is no text."""
    if b":" not in body:
        return body
    try:
        return urls.rewrite_text(body.decode()).encode()
    except UnicodeDecodeError:
        return body


def rewrite_document(send: Send, urls: PublicUrls, large_json: LargeJson) -> Send:
    """Return a `send` that rewrites the links in a JSON response; any other response passes as it is."""

    def rewritten(body: bytes) -> Awaitable[bytes]:
        return large_json.rewrite(body, partial(_rewrite_text, urls=urls))

    return when_whole(send, lambda head: head["status"] == 200 and is_plain(head), rewritten)


def _rewrite_text(text: bytes, urls: PublicUrls) -> bytes:
    """Return a JSON text with its links rewritten; as it is if it has none, is no JSON, or cannot be encoded again."""
    document = decode(_JSON, text)
    try:
        public = urls.rewrite_document(document)
        return text if public == document else msgspec.json.encode(public)
    except (ValueError, RecursionError):
        return text
