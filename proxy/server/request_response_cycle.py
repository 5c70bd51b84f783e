"""One request and its response, as the ASGI application sees them: `receive` and `send`.

Head and first part of the body leave in one write, which ASGI asks for anyway: a head is not sent before there is a
body.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

from middlewares.exchange import Headers
from proxy.network.write_batch import BufferedWriter
from proxy.server.response_framing import Framing, InvalidResponse, framing_of, head_bytes

logger = logging.getLogger("uvicorn.error")

JOINED_BYTES = 16_384
"""Below this size, joining head, body and chunk framing is cheaper than writing them one after the other."""


def _ignore() -> None:
    """Take the place of `on_complete` once nobody waits for the response any more."""


class RequestResponseCycle:
    """From the head of a request to the end of its response; the connection feeds it, the application reads it."""

    __slots__ = (
        "_default_headers",
        "_flow",
        "_head",
        "_on_complete",
        "_pending",
        "_reader",
        "_remaining",
        "_scope",
        "_task",
        "_writer",
        "disconnected",
        "framing",
        "headers",
        "keep_alive",
        "more_body",
        "parts",
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
        on_complete: Callable[[], None],
    ) -> None:
        """`on_complete` is called once the response is complete; it closes the connection unless `keep_alive`."""
        self._scope = scope
        self.headers: Headers = scope["headers"]
        """Those of the request, also once its response is complete."""
        self._writer = writer
        self._flow = flow
        self._default_headers = default_headers
        self._on_complete = on_complete
        self.keep_alive = True
        self.waiting_for_100_continue = False
        self.disconnected = False
        self.parts: list[bytes] = []
        self.unread = 0
        """Bytes of the request body that wait for their reader in `parts`, which has one for each chunk."""
        self._pending = False
        """True if something has happened since `receive` returned last."""
        self._reader: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None]  # set by `start`
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._head = b""
        """Bytes of the head, until they are written with the first part of the body."""
        self.framing: Framing = "chunked"  # until the head says what it is
        self._remaining = 0
        """Bytes of the response body still to come, where its length was declared."""

    def feed(self, body: bytes) -> None:
        """Take a part of the request body that has arrived. Past a bound, no more is read until this is."""
        self.parts.append(body)
        self.unread += len(body)
        if self.unread > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self._wake()

    def feed_end(self) -> None:
        """Note that the request body has arrived to its end."""
        self.more_body = False
        self._wake()

    def disconnect(self) -> None:
        """Note that the client is gone, or that nothing it sends can be trusted any more."""
        self.disconnected = True
        self._wake()

    def take_body(self) -> bytes:
        """Take what has arrived of the request body and was not read."""
        parts = self.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self.parts, self.unread = [], 0
        return body

    def take_whole_body(self) -> bytes | None:
        """Take the same in place of a `receive` that would return at once with the end of the body; else None."""
        if self.more_body or self.disconnected:
            return None
        self._pending = False
        return self.take_body()

    def _wake(self) -> None:
        self._pending = True
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def start(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Run the application in a task that is one of `tasks` until it ends."""
        # Not by the loop's create_task, which makes up a name for each task.
        self._task = task = asyncio.Task(self._run(app, tasks), loop=self._writer.loop, name="request")
        tasks.add(task)

    async def _run(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Run the application; close the connection if it raises or leaves its response incomplete."""
        try:
            await app(self._scope, self.receive, self.send)
        except BaseException as error:  # also a cancellation: nobody waits for this task, but a client does
            logger.error("Exception in ASGI application\n", exc_info=error)
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                logger.error("ASGI callable returned without completing its response.")
                await self._fail()
        finally:  # without references back to the connection, both are freed at once, without a collector
            self._on_complete = _ignore
            self._scope = {}
            tasks.discard(self._task)

    async def _fail(self) -> None:
        if self.response_started:
            self._writer.reset() if self.framing == "until close" else self._writer.close()
            return
        self.keep_alive = False
        await self.send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
        await self.send({"type": "http.response.body"})

    async def receive(self) -> Message:
        """Return the next ASGI message, once there is one. One reader at a time."""
        if self.waiting_for_100_continue:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            if self._flow.read_paused:
                self._flow.resume_reading()
            if not self._pending:
                self._reader = self._writer.loop.create_future()
                try:
                    await self._reader
                finally:
                    self._reader = None
            self._pending = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.take_body(), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send an ASGI message; wait while the client does not take what was written before."""
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
            raise InvalidResponse(f"Expected a start or a body, in this order; got {kind}")

    def _begin(self, message: Message) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status, headers = message["status"], message["headers"]
        by_name = dict(headers)
        if b"connection" in by_name:
            options = [value.lower() for name, value in headers if name == b"connection"]
            headers = [header for header in headers if header[0] != b"connection"]
            self.keep_alive = self.keep_alive and not any(b"close" in option for option in options)
        scope = self._scope
        framing = framing_of(status, by_name, method=scope["method"], http_version=scope["http_version"])
        if framing == "length":
            self._remaining = int(by_name[b"content-length"])
        elif framing == "until close":
            self.keep_alive = False
        self.framing = framing
        self._head = head_bytes(status, [*self._default_headers, *headers], framing, keep_alive=self.keep_alive)

    def _write(self, message: Message) -> None:
        if not self.response_started or self.response_complete:
            raise InvalidResponse("Expected a body between the start of a response and its end")
        body, more = message.get("body", b""), message.get("more_body", False)
        before, framing = self._head, self.framing
        self._head = after = b""
        if framing == "chunked":
            if body:
                before = b"%b%x\r\n" % (before, len(body))
                after = b"\r\n"
            if not more:
                after += b"0\r\n\r\n"
        elif framing == "length":
            self._remaining -= len(body)
            if self._remaining < 0 or (self._remaining and not more):
                raise InvalidResponse("Expected a body as long as declared")
        elif framing == "bodiless":
            body = b""
        if len(body) < JOINED_BYTES:
            self._writer.write(b"".join((before, body, after)))
        else:
            self._writer.write_now([part for part in (before, body, after) if part])
        if not more:
            self._end()

    def _end(self) -> None:
        self.response_complete = True
        if self.parts:  # of a refused body, while its connection lingers
            self.parts, self.unread = [], 0
        self._wake()
        self._on_complete()
