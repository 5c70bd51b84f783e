"""Answers of `/llm` as OpenAI clients expect them (gateway contract section 1.2), byte by byte as they pass.

The gateway writes neither `object` nor `data: [DONE]`, an empty `finish_reason` where there is none yet, and errors
without a type. Bytes are added in front of an answer or to a whole line of an event stream: nothing waits for more
than the end of the line it is part of.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.types import Message

from middlewares.exchange import Headers

DONE = b"data: [DONE]\n\n"
CUT = (
    b'data: {"error":{"message":"The answer ended before it was complete.","type":"server_error","param":null,'
    b'"code":"gateway_truncated"}}\n\n'
)
"""Instead of `DONE` where no choice was finished; clients raise it as an error."""

LINE_BYTES = 256 * 1024
"""Longer lines are passed on as they come; the gateway itself cannot write them."""

_NO_REASON = re.compile(rb'"finish_reason":\s*""')  # cannot be inside a string, where quotes are escaped
_REASON = re.compile(rb'"finish_reason":\s*"[^"]')
_WHOLE = b'"object":"chat.completion",'
_PIECE = b'data: {"object":"chat.completion.chunk",'


class OpenAiResponse:
    """An ASGI `send` for one exchange of the alias."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self._map: Callable[[bytes, bool], bytes] = _unchanged

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on head and body of a gateway's answer, in OpenAI's words."""
        if message["type"] == "http.response.start":
            message = self._head(message)
        elif message["type"] == "http.response.body":
            body = self._map(message.get("body", b""), not message.get("more_body", False))
            message = {**message, "body": body}
        return self._send(message)

    def _head(self, message: Message) -> Message:
        status, headers = message["status"], list(message.get("headers", ()))
        fields = dict(headers)
        if fields.get(b"content-encoding", b"identity") != b"identity":
            return message
        kind = fields.get(b"content-type", b"")
        if status == 200 and kind.startswith(b"text/event-stream"):
            self._map = _Events().feed
        elif kind.startswith(b"application/json"):
            added = _Opening(b"{", _WHOLE) if status == 200 else _Opening(b'{"error":{', _error(status))
            self._map = added.feed
            headers = added.reframed(headers)
        return {**message, "headers": headers}


def _unchanged(body: bytes, last: bool) -> bytes:
    return body


def _error(status: int) -> bytes:
    kind = b"server_error" if status >= 500 else b"invalid_request_error"
    return b'"type":"%b","param":null,"code":null,' % kind


class _Opening:
    """Adds members to the object that an answer opens with. Its length is not told any more: it may be another."""

    def __init__(self, opening: bytes, members: bytes) -> None:
        self._opening = opening
        self._members = members
        self._start: bytes | None = b""

    @staticmethod
    def reframed(headers: Headers) -> Headers:
        return [field for field in headers if field[0] != b"content-length"]

    def feed(self, chunk: bytes, last: bool) -> bytes:
        if self._start is None:
            return chunk
        start = self._start + chunk
        if len(start) < len(self._opening) and not last:
            self._start = start
            return b""
        self._start = None
        if not start.startswith(self._opening):
            return start
        return self._opening + self._members + start[len(self._opening) :]


class _Events:
    """Rewrites the lines of an event stream, and ends it."""

    def __init__(self) -> None:
        self._partial = b""
        self._ended = True
        """The last line was blank: the end of an event."""
        self._finished = False
        """Some choice has its `finish_reason`."""

    def feed(self, chunk: bytes, last: bool) -> bytes:
        lines = (self._partial + chunk).split(b"\n")
        self._partial = lines.pop()
        text = b"\n".join([*map(self._line, lines), b""])
        if len(self._partial) > LINE_BYTES:
            text, self._partial = text + self._partial, b""
        if lines:
            self._ended = not lines[-1]
        if not last:
            return text
        if self._partial:
            text += self._line(self._partial) + b"\n"
        gap = b"" if self._ended and not self._partial else b"\n"
        return text + gap + (DONE if self._finished else CUT)

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data: {"):
            return line
        self._finished = self._finished or _REASON.search(line) is not None
        return _PIECE + _NO_REASON.sub(b'"finish_reason":null', line[len(b"data: {") :])
