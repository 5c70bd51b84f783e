"""Removes from event streams of BYOC jobs what the orchestrator writes about money (gateway contract section 1.7).

That balance is the gateway's with the orchestrator, shared by all tenants. It is a line of its own, before the line
with `[DONE]` and after `event: insufficient balance`, which stays: it is how the client learns why the stream ends.
Only what may become such a line waits for its end; all else passes as it comes.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.types import Message

from middlewares.whole_response import is_plain, without_length

LONGEST_BALANCE = 256
"""Bytes; a longer line is none. The orchestrator writes a number of wei."""

_BALANCE = re.compile(rb'data: ?\{\s*"balance"\s*:[^{}]*\}\s*')
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
_NO_FUNDS = re.compile(rb"event: ?insufficient balance\s*")
_FIELDS = (b"data:", b"event:")


class BalanceFilter:
    """An ASGI `send` for the response to one BYOC job."""

    __slots__ = (
        "_after_balance",
        "_after_cr",
        "_event_begun",
        "_inside_line",
        "_no_funds",
        "_partial",
        "_reads",
        "_send",
    )

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self._reads = False
        self._partial = b""
        """The beginning of a line that may become a balance."""
        self._inside_line = False
        """True if the beginning of the line has been passed on."""
        self._event_begun = False
        """True if the client has lines of an event that no blank line has ended."""
        self._after_balance = False
        """True if a balance was the last line, so that the blank line after it ends nothing."""
        self._no_funds = False
        """True if the last line says that the funds are used up; its event needs data to be seen."""
        self._after_cr: bytes | None = None
        """What the client is sent of an LF that follows now, the other half of a CRLF; None: it is a line end."""

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on head and body of a response; one that is no event stream passes as it is."""
        if message["type"] == "http.response.start":
            media_type = dict(message["headers"]).get(b"content-type", b"").lower()
            self._reads = media_type.startswith(b"text/event-stream") and is_plain(message)
            if self._reads:
                message = without_length(message)
        elif self._reads and message["type"] == "http.response.body":
            body = self._filtered(message.get("body", b""), last=not message.get("more_body", False))
            message = {**message, "body": body}
        return self._send(message)

    def _filtered(self, chunk: bytes, *, last: bool) -> bytes:
        passed = bytearray()
        if self._after_cr is not None and chunk:
            if chunk.startswith(b"\n"):
                passed += self._after_cr
                chunk = chunk[1:]
            self._after_cr = None
        text = self._partial + chunk
        if text.isspace() and not (self._event_begun or self._after_balance):  # a flood is not worth a look
            return bytes(passed) + text
        start = 0
        for match in _LINE.finditer(text):
            line = self._line(match[0])
            passed += line
            start = match.end()
            if start == len(text) and text.endswith(b"\r"):
                self._after_cr = b"\n" if line.endswith(b"\r") else b""
        rest = text[start:]
        if last and not self._inside_line and _BALANCE.fullmatch(rest):
            return bytes(passed)
        field = any(rest[: len(name)] == name[: len(rest)] for name in _FIELDS)
        waits = field and not self._inside_line and len(rest) <= LONGEST_BALANCE
        self._partial = rest if waits and not last else b""
        if rest and not self._partial:
            self._inside_line = self._event_begun = True
            self._after_balance = False
            passed += rest
        return bytes(passed)

    def _line(self, line: bytes) -> bytes:
        """Return what the client is sent of a line."""
        if self._inside_line:
            self._inside_line = False
        elif not line.strip(b"\r\n"):
            dropped = self._after_balance and not self._event_begun
            self._event_begun = self._no_funds = False
            return b"" if dropped else line
        elif len(line) <= LONGEST_BALANCE and _BALANCE.fullmatch(line):
            self._after_balance = True
            return b"data: {}\n" if self._no_funds else b""
        self._no_funds = len(line) <= LONGEST_BALANCE and _NO_FUNDS.fullmatch(line) is not None
        self._event_begun = True
        self._after_balance = False
        return line
