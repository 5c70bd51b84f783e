"""One answer on its way to the client: uvicorn's request-response cycle, with a `send` of its own.

Head and first part of the body leave in one write, which ASGI asks for anyway: a head is not sent before there is
body. Header fields come from a parser or from the gate itself, so one look at the whole block replaces uvicorn's two
pattern matches for each field. Answers to HTTP/1.0 are never chunked (RFC 9112 section 6.1).
"""

from enum import Enum, auto

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

COPIED = 16_384
"""Below this many bytes, joining head, body and chunk framing is cheaper than writing them one after the other."""


class Framing(Enum):
    """How a client knows where the body ends (RFC 9112 section 6.3)."""

    BODILESS = auto()
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


class InvalidAnswer(RuntimeError):
    """An application broke ASGI, or a header field would break the answer's framing. The connection is closed."""


class Cycle(RequestResponseCycle):
    """Reads as its base class does, and writes the answer."""

    _head = b""
    """Not yet written."""
    _framing = Framing.CHUNKED
    _left = 0
    """Bytes of the body still owed, where its length was announced."""

    async def send(self, message: ASGISendEvent) -> None:
        """The ASGI `send`: waits while the client does not take what was written before."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.body":
            self._write(message.get("body", b""), more=message.get("more_body", False))
        elif message["type"] == "http.response.start" and not self.response_started:
            self._begin(message)
        else:
            raise InvalidAnswer(f"{message['type']} does not belong here")

    def _begin(self, message: HTTPResponseStartEvent) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        length: int | None = None
        lines = []
        for name, value in (*self.default_headers, *message["headers"]):
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            lines.append(name + b": " + value)
        self._frame(status, length)
        if self._framing is Framing.CHUNKED:
            lines.append(b"transfer-encoding: chunked")
        if not self.keep_alive:
            lines.append(b"connection: close")
        block = b"\r\n".join(lines)
        if len(block.translate(None, b"\r\n\0")) != len(block) - 2 * (len(lines) - 1):
            raise InvalidAnswer("a header field of the answer contains CR, LF or NUL")
        self._head = STATUS_LINE[status] + block + b"\r\n\r\n"

    def _frame(self, status: int, length: int | None) -> None:
        if self.scope["method"] == "HEAD" or status in (204, 304):
            self._framing = Framing.BODILESS
        elif length is not None:
            self._framing, self._left = Framing.LENGTH, length
        elif self.scope["http_version"] == "1.0":
            self._framing, self.keep_alive = Framing.UNTIL_CLOSE, False

    def _write(self, body: bytes, *, more: bool) -> None:
        if not self.response_started or self.response_complete:
            raise InvalidAnswer("a body belongs between the head of an answer and its end")
        framing, before, after = self._framing, self._head, b""
        self._head = b""
        if framing is Framing.CHUNKED:
            if body:
                before, after = before + b"%x\r\n" % len(body), b"\r\n"
            if not more:
                after += b"0\r\n\r\n"
        elif framing is Framing.LENGTH:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise InvalidAnswer("the body is not as long as announced")
        elif framing is Framing.BODILESS:
            body = b""
        if len(body) < COPIED:
            self.transport.write(before + body + after)
        else:
            self.transport.writelines([part for part in (before, body, after) if part])
        if not more:
            self._end()

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
