"""The HTTP/1.1 connection: uvicorn's httptools protocol, with bounds and without guessing.

By itself that protocol takes heads and trailers of any size, adds trailers to the request's headers, waits for a head
forever, hides an absolute-form target, informs only the newest of pipelined requests that the client is gone, may
write its 400 into the middle of another response, and writes a response in two steps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

from config.access import Edge
from proxy.network.lingering_close import LingeringClose, discarded_bytes
from proxy.network.sliced_reads import SlicedReads
from proxy.network.upgrade_offers import body_parser
from proxy.network.write_batch import BufferedWriter, WriteBatch
from proxy.server.connection_bounds import BoundedProtocol, HeadTooLarge
from proxy.server.request_response_cycle import RequestResponseCycle
from proxy.server.request_scope import request_scope, scope_template
from proxy.server.static_responses import HEAD_TOO_LARGE, MALFORMED

DRAIN_SECONDS = 0.5
"""How long a draining connection stays open for one more request, which may be on its way already."""


def protocol_class(edge: Edge) -> type[HttpConnection]:
    """Return the class to hand to uvicorn as `http=`, with these settings."""

    class ConfiguredConnection(HttpConnection):
        max_header_fields = edge.max_header_fields
        max_header_bytes = edge.max_header_bytes
        header_seconds = edge.header_seconds
        write_batch = WriteBatch()

    return ConfiguredConnection


class HttpConnection(BoundedProtocol):
    """One client connection; the `ClientConnection` of the stages."""

    write_batch: WriteBatch
    draining = False
    """True: each response is the last of its connection. Set on the class: it holds for later connections, too."""

    _current: RequestResponseCycle | None = None
    """The request that the application serves; `_newest` may still be queued behind it."""
    _disconnect_callback: Callable[[], None] | None = None
    _lost = False
    _final_response: bytes | None = None
    """Not None: nothing that arrives can be trusted any more. Sent once all earlier requests have their responses."""
    _lingering: LingeringClose | None = None
    """Not None: the last response was sent, and the client reads it while what it still sends is discarded."""

    # What the stages call; `middlewares.connection` says what each does

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` as declared; at once if the client is gone. It takes the place of an earlier one."""
        if self._lost:
            callback()
        else:
            self._disconnect_callback = callback

    def abort(self) -> None:
        """Close the connection without another byte, so that the client sees an incomplete response as such."""
        self._writer.flush()  # the bytes before, which it was promised
        if self._current is not None and self._current.framing == "until close":
            self._writer.reset()
        self._writer.abort()

    def body_received(self) -> bool:
        """Return True if the body of the current request has arrived to its end."""
        return self._current is not None and not self._current.more_body

    def whole_body(self) -> bytes | None:
        return None if self._current is None else self._current.take_whole_body()

    def unread_body(self) -> bytes:
        """Take what has arrived of that body and was not read, also when its client has left since."""
        return self._current.take_body() if self._current is not None else b""

    # What the event loop and uvicorn call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._writer = BufferedWriter(transport, self.write_batch, self.loop)
        self._reads = SlicedReads(transport, self.loop, self._read, self._slice_size)
        self.flow = FlowControl(self._reads)  # type: ignore[arg-type] # it pauses and resumes reading, no more
        self._scope_template = scope_template(self)
        self._queue: deque[RequestResponseCycle] = deque()
        """Pipelined requests that wait for the responses before theirs."""
        self._start_head_timer()
        if self.draining:
            self.shutdown()

    def shutdown(self) -> None:
        """Drain this connection. A request that is just on its way still gets its response."""
        if self._idle:
            self.loop.call_later(DRAIN_SECONDS, self._close_if_idle)
        elif self._newest is not None:
            self._newest.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.connections.discard(self)
        self.flow.resume_writing()
        self._reads.close()
        self.parser = None  # type: ignore[assignment] # it refers to this object in turn
        self._stop_timers()
        if self._lingering is not None:
            self._lingering.stop()
        if self._current is not None and not self._current.response_complete:
            self._current.disconnect()
        callback, self._disconnect_callback = self._disconnect_callback, None
        if callback is not None:
            callback()

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            self._lingering.discard(len(data))
        else:
            self._reads.feed(data)

    def _read(self, data: bytes | memoryview) -> None:
        if self._final_response is not None:
            return
        cycle = self._newest
        before = (cycle.unread, len(cycle.parts)) if cycle is not None and cycle.more_body else (0, 0)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._give_up(HEAD_TOO_LARGE if isinstance(error.__context__, HeadTooLarge) else MALFORMED)
            return
        self._count(cycle, *before)

    # What the parser calls, beside on_message_begin

    def on_headers_complete(self) -> None:
        self._end_head()
        before = self._newest
        scope = request_scope(self._scope_template, self)
        if self.parser.should_upgrade():
            self._body_parser = body_parser(self, self.headers)
        self.headers = []  # trailers end up here, not among the headers of the request
        self._newest = cycle = RequestResponseCycle(
            scope, self._writer, self.flow, self.server_state.default_headers, self._response_sent
        )
        if scope["http_version"] == "1.0":
            cycle.keep_alive = False
        else:
            cycle.keep_alive = not self.draining and self.parser.should_keep_alive()
            cycle.waiting_for_100_continue = self.expect_100_continue
        if before is None or before.response_complete:
            self._start(cycle)
        else:
            self._reads.on_hold = True
            self._queue.append(cycle)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._newest is not None and not self._newest.response_complete:
            self._newest.feed(body)

    def on_message_complete(self) -> None:
        if self._newest is not None and self._body_parser is None:
            self._newest.feed_end()
            if self._newest.response_complete:
                self._stop_head_timer()  # it ran for the rest of this body

    # The order of requests, and the end of the connection

    def _start(self, cycle: RequestResponseCycle) -> None:
        self._current = cycle
        cycle.start(self.app, self.tasks)

    def _response_sent(self) -> None:
        self._disconnect_callback = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._current is not None and not self._current.keep_alive:
            self._close()
        elif self._queue:
            self._start(self._queue.popleft())
            if not self._queue:
                self._reads.go_on()
        elif self._final_response is not None:
            self._close(self._final_response)
        else:
            self._start_idle_timer()

    @property
    def _idle(self) -> bool:
        served = not (self._in_head or self._reads.waiting) and (self._newest is None or self._newest.response_complete)
        return served or self._lingering is not None

    def _give_up(self, final_response: bytes) -> None:
        """Trust nothing that arrives from now on; requests that arrived whole still get their responses."""
        self._stop_head_timer()
        cycle = self._newest
        in_body = cycle is not None and cycle.more_body and not self._in_head
        if in_body and cycle is not None and cycle.response_complete:
            final_response = b""  # the request at fault has its response already
        self._final_response = final_response
        if cycle is None or cycle.response_complete:
            self._close(final_response)
        elif in_body:
            self._abandon(cycle, final_response)

    def _abandon(self, cycle: RequestResponseCycle, final_response: bytes) -> None:
        """The fault is inside the body of `cycle`: its reader gets a disconnect, never the end of the body."""
        if cycle is not self._current:
            self._queue.pop()
            return
        cycle.disconnect()
        if cycle.response_started:
            self.abort()
        else:
            self._close(final_response)

    def _close(self, final_response: bytes = b"") -> None:
        if final_response:
            self._writer.write(final_response)
        body = self._newest.headers if self._newest is not None and self._newest.more_body else None
        if not (final_response or self._in_head or body) or self._lingering is not None or self.transport.is_closing():
            self._writer.close()
        else:
            self._stop_timers()
            self._reads.stop()
            self.flow.resume_reading()
            size = discarded_bytes(None if final_response else body)
            self._lingering = LingeringClose(self.transport, self.loop, size)
            self._writer.end()
        if not self._writer.empty:
            self._expect_reading()
