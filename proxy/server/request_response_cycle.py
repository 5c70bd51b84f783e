"""One request and its answer, as the ASGI application sees them: `receive` and `send`.

Head and first part of the body leave in one write, which ASGI asks for anyway: a head is not sent before there is
body. Header fields come from a parser or from the gate itself, so one look at all of them replaces uvicorn's two
pattern matches for each. Answers to HTTP/1.0 are never chunked (RFC 9112 section 6.1).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from proxy.network.write_batch import BufferedWriter

logger = logging.getLogger("uvicorn.error")

COPIED = 16_384
"""Below this many bytes, joining head, body and chunk framing is cheaper than writing them one after the other."""


_CR, _LF, _NUL = b"\r\n\0"


class Framing(Enum):
    """How a client knows where the body ends (RFC 9112 section 6.3)."""

    BODILESS = auto()
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


# Bound once: before Python 3.12, naming a member of an enum costs as much as a call.
_BODILESS, _LENGTH, _CHUNKED, _UNTIL_CLOSE = Framing.BODILESS, Framing.LENGTH, Framing.CHUNKED, Framing.UNTIL_CLOSE


class InvalidResponse(RuntimeError):
    """An application broke ASGI, or a header field would break the answer's framing. The connection is closed."""


def _nothing() -> None:
    """Nobody waits for the answer any more."""


class RequestResponseCycle:
    """From the head of a request to the end of its answer. The connection feeds it; the application empties it."""

    __slots__ = (
        "_answered",
        "_default_headers",
        "_flow",
        "_framing",
        "_head",
        "_left",
        "_news",
        "_parts",
        "_reader",
        "_scope",
        "_task",
        "_writer",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "unread",
        "waiting_for_100_continue",
    )

    def __init__(
        self,
        scope: Scope,
        writer: BufferedWriter,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        answered: Callable[[], None],
    ) -> None:
        """`answered` is called once the answer is complete."""
        self._scope = scope
        self._writer = writer
        self._flow = flow
        self._default_headers = default_headers
        self._answered = answered
        self.keep_alive = True
        self.waiting_for_100_continue = False
        self.disconnected = False
        self._parts: list[bytes] = []
        self.unread = 0
        """Bytes of the request's body that wait for their reader."""
        self._news = False
        """Something has happened since `receive` returned last."""
        self._reader: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None]  # from start on
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._head = b""
        """Not yet written."""
        self._framing = _CHUNKED
        self._left = 0
        """Bytes of the body still owed, where its length was announced."""

    def feed(self, body: bytes) -> None:
        """A part of the request's body has arrived. Beyond a bound, no more is read until this is."""
        self._parts.append(body)
        self.unread += len(body)
        if self.unread > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self._wake()

    def feed_end(self) -> None:
        """The request's body has arrived to its end."""
        self.more_body = False
        self._wake()

    def disconnect(self) -> None:
        """The client is gone, or nothing it sends can be trusted any more."""
        self.disconnected = True
        self._wake()

    def take(self) -> bytes:
        """What has arrived of the body and was not read."""
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts, self.unread = [], 0
        return body

    def _wake(self) -> None:
        self._news = True
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def start(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Let the application answer, in a task that is one of `tasks` until it ends."""
        # Not by the loop's create_task, which makes up a name for each.
        self._task = task = asyncio.Task(self._run(app, tasks), loop=self._writer.loop, name="request")
        tasks.add(task)

    async def _run(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Whatever the application leaves undone or raises ends with the connection."""
        try:
            await app(self._scope, self.receive, self.send)
        except BaseException as error:  # also a cancellation: nobody waits for this task, but a client does
            logger.error("Exception in ASGI application\n", exc_info=error)
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                logger.error("ASGI callable returned without completing its answer.")
                await self._fail()
        finally:  # no way back to the connection is left, so that both go at once, without a collector
            self._answered = _nothing
            self._scope = {}
            tasks.discard(self._task)

    async def _fail(self) -> None:
        if self.response_started:
            self._writer.close()
            return
        self.keep_alive = False
        await self.send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
        await self.send({"type": "http.response.body"})

    async def receive(self) -> Message:
        """The ASGI `receive`: waits until there is something to tell. One reader at a time."""
        if self.waiting_for_100_continue:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            if self._flow.read_paused:
                self._flow.resume_reading()
            if not self._news:
                self._reader = self._writer.loop.create_future()
                try:
                    await self._reader
                finally:
                    self._reader = None
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.take(), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """The ASGI `send`: waits while the client does not take what was written before."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body":
            self._write(message)
        elif kind == "http.response.start" and not self.response_started:
            self._begin(message)
        else:
            raise InvalidResponse(f"{kind} does not belong here")

    def _begin(self, message: Message) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status, headers = message["status"], message["headers"]
        fields = dict(headers)
        if b"connection" in fields:
            options = [value.lower() for name, value in headers if name == b"connection"]
            headers = [field for field in headers if field[0] != b"connection"]
            self.keep_alive = self.keep_alive and not any(b"close" in option for option in options)
        length = fields.get(b"content-length")
        if status in (204, 304) or self._scope["method"] == "HEAD":
            self._framing = _BODILESS
        elif length is not None:
            self._framing, self._left = _LENGTH, int(length)
        elif self._scope["http_version"] == "1.0":
            self._framing, self.keep_alive = _UNTIL_CLOSE, False
        lines = [*map(b": ".join, self._default_headers), *map(b": ".join, headers)]
        if self._framing is _CHUNKED:
            lines.append(b"transfer-encoding: chunked")
        if not self.keep_alive:
            lines.append(b"connection: close")
        text = b"".join(lines)
        if _CR in text or _LF in text or _NUL in text:
            raise InvalidResponse("a header field of the answer contains CR, LF or NUL")
        self._head = b"%b%b\r\n\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))

    def _write(self, message: Message) -> None:
        if not self.response_started or self.response_complete:
            raise InvalidResponse("a body belongs between the head of an answer and its end")
        body, more = message.get("body", b""), message.get("more_body", False)
        before, framing = self._head, self._framing
        self._head = after = b""
        if framing is _CHUNKED:
            if body:
                before = b"%b%x\r\n" % (before, len(body))
                after = b"\r\n"
            if not more:
                after += b"0\r\n\r\n"
        elif framing is _LENGTH:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise InvalidResponse("the body is not as long as announced")
        elif framing is _BODILESS:
            body = b""
        if len(body) < COPIED:
            self._writer.write(b"".join((before, body, after)))
        else:
            self._writer.write_now([part for part in (before, body, after) if part])
        if not more:
            self._end()

    def _end(self) -> None:
        self.response_complete = True
        self._wake()
        if not self.keep_alive:
            self._writer.close()
        self._answered()
