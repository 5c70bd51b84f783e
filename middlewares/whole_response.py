"""Responses that are held back until they are whole, because what is at their end decides about their beginning."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import Message, Send

from middlewares.exchange import Headers

MAX_BYTES = 1 << 20
"""A longer response is passed on as it is; the gateway's documents have a few KiB."""


def when_whole(
    send: Send,
    wanted: Callable[[Message], bool],
    finish: Callable[[bytes], Awaitable[bytes]],
    *,
    max_bytes: int = MAX_BYTES,
) -> Send:
    """Return a `send` that holds back a response whose head is `wanted`, and sends what `finish` makes of its body.

    Any other response, and one of more than `max_bytes`, passes as it is. What `finish` raises becomes the response.
    """
    head: Message | None = None
    body = bytearray()

    async def send_whole(message: Message) -> None:
        nonlocal head
        if message["type"] == "http.response.start" and wanted(message):
            head = message
            return
        if head is None:
            await send(message)
            return
        body.extend(message.get("body", b""))
        more = message.get("more_body", False)
        if more and len(body) <= max_bytes:
            return
        text = bytes(body)
        start, head = head, None
        if not more:
            finished = await finish(text)
            if finished != text:
                start = {**start, "headers": _with_length(start["headers"], len(finished))}
            text = finished
        await send(start)
        await send({**message, "body": text})

    return send_whole


def is_plain(message: Message) -> bool:
    """Return True if the body after this head is in no content coding, so that it can be read."""
    return all(name != b"content-encoding" or value == b"identity" for name, value in message["headers"])


def without_length(message: Message) -> Message:
    """Return a head for a body whose length is not known yet, because it is rewritten as it passes."""
    return {**message, "headers": [header for header in message["headers"] if header[0] != b"content-length"]}


def _with_length(headers: Headers, length: int) -> Headers:
    others = [header for header in headers if header[0] != b"content-length"]
    return [*others, (b"content-length", b"%d" % length)]
