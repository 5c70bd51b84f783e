"""Responses of `/llm` as OpenAI clients expect them (gateway contract section 1.2), rewritten as they pass.

The gateway writes neither `object` nor `data: [DONE]`, an empty `finish_reason` where there is none yet, and errors
without a type. Bytes are added at the start of a response or to a whole line of an event stream: no byte waits for more
than the end of its line. An event without a choice is the runner's failure in disguise; it becomes an error, also for
clients of `/llm` itself, and nothing of the stream follows it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import Message

from middlewares.json_codec import decode

DONE = b"data: [DONE]\n\n"
TRUNCATED = (
    b'data: {"error":{"message":"The response ended before it was complete.","type":"server_error","param":null,'
    b'"code":"gateway_truncated"}}\n\n'
)
"""Sent in place of `DONE` where no choice was finished; clients raise it as an error."""

RUNNER_FAILED = (
    b'data: {"error":{"message":"The model failed.","type":"server_error","param":null,"code":"gateway_failed"}}\n\n'
)
"""Sent in place of an event without a choice; the gateway ends right after it (gateway contract section 1.2)."""

MAX_LINE_BYTES = 256 * 1024
"""Longer lines are passed on as they come; the gateway itself cannot write them."""

_EMPTY_REASON = re.compile(rb'"finish_reason":\s*""')  # cannot be inside a string, where quotes are escaped
_REASON = re.compile(rb'"finish_reason":\s*"[^"]')
_SOME_CHOICE = b'"choices":[{'  # likewise
_COMPLETION_MEMBER = b'"object":"chat.completion",'
_CHUNK_START = b'data: {"object":"chat.completion.chunk",'


class _Event(msgspec.Struct, gc=False):
    choices: list[msgspec.Raw] | None = None
    error: msgspec.Raw | None = None


_EVENT = msgspec.json.Decoder(_Event)


class ChatResponse:
    """An ASGI `send` for one chat; `openai` is True if its client speaks OpenAI's dialect, not the gateway's."""

    def __init__(self, send: Callable[[Message], Awaitable[None]], *, openai: bool) -> None:
        self._send = send
        self._openai = openai
        self._rewrite: Callable[[bytes, bool], bytes] = _unchanged

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on head and body of a gateway's response in the dialect of the client."""
        if message["type"] == "http.response.start":
            message = self._head(message)
        elif message["type"] == "http.response.body":
            body = self._rewrite(message.get("body", b""), not message.get("more_body", False))
            message = {**message, "body": body}
        return self._send(message)

    def _head(self, message: Message) -> Message:
        status, headers = message["status"], list(message.get("headers", ()))
        values = dict(headers)
        if values.get(b"content-encoding", b"identity") != b"identity":
            return message
        media_type = values.get(b"content-type", b"")
        if status == 200 and media_type.startswith(b"text/event-stream"):
            self._rewrite = _EventRewriter(openai=self._openai).feed
        elif self._openai and media_type.startswith(b"application/json"):
            start, members = (b"{", _COMPLETION_MEMBER) if status == 200 else (b'{"error":{', _error_members(status))
            self._rewrite = _MemberInserter(start, members).feed
            headers = [header for header in headers if header[0] != b"content-length"]  # it may not be right any more
        return {**message, "headers": headers}


def _unchanged(body: bytes, last: bool) -> bytes:
    return body


def _error_members(status: int) -> bytes:
    kind = b"server_error" if status >= 500 else b"invalid_request_error"
    return b'"type":"%b","param":null,"code":null,' % kind


class _MemberInserter:
    """Inserts members after the bytes that a response has to start with; a response with another start passes."""

    def __init__(self, opening: bytes, members: bytes) -> None:
        self._opening = opening
        self._members = members
        self._start: bytes | None = b""
        """What has arrived of the start; None: it was passed on."""

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


class _EventRewriter:
    """Rewrites the lines of an event stream, and ends that of an OpenAI client with `DONE` or `TRUNCATED`."""

    def __init__(self, *, openai: bool) -> None:
        self._openai = openai
        self._partial = b""
        self._ended = True
        """True if the last line was blank, which ends an event."""
        self._finished = False
        """True if some choice has its `finish_reason`."""
        self._failed = False
        """True if the client was sent `RUNNER_FAILED`."""

    def feed(self, chunk: bytes, last: bool) -> bytes:
        if self._failed:
            return b""
        lines = (self._partial + chunk).split(b"\n")
        self._partial = lines.pop()
        if not last and not lines and len(self._partial) <= MAX_LINE_BYTES:
            return b""
        text = bytearray()
        for line in lines:
            if self._fails(line):
                return bytes(text) + self._fail()
            text += self._rewrite_line(line) + b"\n"
            self._ended = line in (b"", b"\r")
        if len(self._partial) > MAX_LINE_BYTES:
            text += self._partial
            self._partial = b""
            self._ended = False
        return bytes(text) + self._end() if last else bytes(text)

    def _end(self) -> bytes:
        line, self._partial = self._partial, b""
        if line and self._fails(line):
            return self._fail()
        text = self._rewrite_line(line)
        if not self._openai:
            return text
        gap = b"\n\n" if line else b"" if self._ended else b"\n"
        return text + gap + (DONE if self._finished else TRUNCATED)

    def _fail(self) -> bytes:
        self._failed = True
        return (b"" if self._ended else b"\n") + RUNNER_FAILED

    def _fails(self, line: bytes) -> bool:
        """Return True if the line is an event without a choice, before any choice was finished."""
        if self._finished or _SOME_CHOICE in line or not line.startswith(b"data:"):
            return False
        event = decode(_EVENT, line[len(b"data:") :].strip())
        return event is not None and not event.choices and event.error is None

    def _rewrite_line(self, line: bytes) -> bytes:
        self._finished = self._finished or (line.startswith(b"data:") and _REASON.search(line) is not None)
        if not self._openai or not line.startswith(b"data: {"):
            return line
        return _CHUNK_START + _EMPTY_REASON.sub(b'"finish_reason":null', line[len(b"data: {") :])
