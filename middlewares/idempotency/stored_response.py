"""Responses that are kept for repetitions: recorded as they pass, and given again."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.types import Message, Send

from middlewares.exchange import Headers

REPLAYED = b"idempotency-replayed"
SLICE = 64 * 1024
"""Bytes of a kept response that are sent at a time, so that a client that does not read holds up its own replays."""


class StoredResponse(msgspec.Struct, array_like=True):
    """One whole response; its headers are filtered once more when they are sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(StoredResponse).decode


class ResponseRecorder:
    """Copies a response as it passes, as long as its body is no longer than `max_bytes`; it delays none."""

    __slots__ = ("_body", "_headers", "_max_bytes", "_on_success", "_status", "response")

    def __init__(self, max_bytes: int, on_success: Callable[[bytes], None]) -> None:
        """`on_success` is called with the encoded response of a success, right before its last part is sent."""
        self._max_bytes = max_bytes
        self._on_success = on_success
        self._status = 0
        self._headers: Headers = []
        self._body: bytearray | None = bytearray()
        self.response = b""
        """The encoded response once it is whole; empty: it is not, or is too long."""

    @property
    def succeeded(self) -> bool:
        """True once `on_success` was called."""
        return bool(self.response) and self._status < 400

    def take(self, message: Message) -> None:
        """Take the next message of the response."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message.get("headers", [])
            return
        body = self._body
        if body is None or not self._status:  # too long, or a refusal of Tollgate's own
            return
        body += message.get("body", b"")
        if len(body) > self._max_bytes:
            self._body = None
        elif not message.get("more_body", False):
            self.response = _ENCODE(StoredResponse(self._status, self._headers, bytes(body)))
            if self.succeeded:
                self._on_success(self.response)


async def replay(kept: bytes, send: Send) -> None:
    """Send a response that was kept, marked as one."""
    response = _DECODE(kept)
    headers = [*response.headers, (REPLAYED, b"true")]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    last = max(0, len(response.body) - 1) // SLICE * SLICE
    for start in range(0, last, SLICE):
        await send({"type": "http.response.body", "body": response.body[start : start + SLICE], "more_body": True})
    await send({"type": "http.response.body", "body": response.body[last:], "more_body": False})
