"""The HTTP/1.1 connection: uvicorn's httptools protocol, with bounds and without guessing.

By itself that protocol takes heads and trailers of any size, adds trailers to the request's fields, waits for a head
for ever, hides an absolute-form target, tells only the newest of pipelined requests that the client is gone, may
write its 400 into the middle of another answer, and writes an answer in two steps (`cycle.py`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from config.access import Edge
from proxy.network.write_batch import BufferedWriter, WriteBatch
from proxy.server.request_response_cycle import RequestResponseCycle
from proxy.server.static_responses import LATE, MALFORMED, TOO_LARGE

LINGER_SECONDS = 0.5
"""How long a draining connection stays open for one more request, which may be on its way already."""

_UNSEEN_LIMIT = 262_144
"""Bytes in a row that may arrive without being part of a body somebody reads."""


class HeadTooLarge(Exception):
    """The request head exceeds its bounds."""


def protocol_class(edge: Edge) -> type["HttpConnection"]:
    """The class to hand to uvicorn as `http=`, bound to these settings."""

    class BoundConnection(HttpConnection):
        max_header_fields = edge.max_header_fields
        max_header_bytes = edge.max_header_bytes
        header_seconds = edge.header_seconds
        write_batch = WriteBatch()

    return BoundConnection


class HttpConnection(HttpToolsProtocol):
    """One client connection.

    Adds to the ASGI scope `tollgate.target`, the request target as received, and `tollgate.connection`, this object,
    for `on_disconnect`, `abort` and `body_received`.
    """

    max_header_fields: int
    max_header_bytes: int
    header_seconds: float
    write_batch: WriteBatch
    draining = False
    """Each answer is the last of its connection. Set on the class: it holds for connections yet to come, too."""

    _answering: RequestResponseCycle | None = None
    """The request in the application's hands; `_newest` may still be queued behind it."""
    _newest: RequestResponseCycle | None = None
    _in_head = False
    _first_read_bytes = 0
    """Size of the read the head began in, which may hold other bytes before it."""
    _head_bytes = 0
    """Bytes of the head in later reads."""
    _read_bytes = 0
    _unseen_bytes = 0
    """Bytes in a row that were trailers, chunk extensions, or the rest of a body whose request is answered."""
    _timer: asyncio.TimerHandle | None = None
    _idle_timer: asyncio.TimerHandle | None = None
    """Runs on while requests come and go; when it fires it sees how long the connection has been idle."""
    _idle_since = 0.0
    _callback: Callable[[], None] | None = None
    _lost = False
    _final_response: bytes | None = None
    """Not None: the bytes that arrive cannot be trusted any more. Said once all earlier requests are answered."""

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the client is gone before its answer is complete; at once if it already is.

        One callback per request: another call replaces it, the end of the answer forgets it.
        """
        if self._lost:
            callback()
        else:
            self._callback = callback

    def abort(self) -> None:
        """End the connection without another byte, so that the client sees that its answer is not whole."""
        self._writer.flush()  # the bytes before, which it was promised
        self._writer.abort()

    def body_received(self) -> bool:
        """Has the body of the request in the application's hands arrived to its end?"""
        return self._answering is not None and not self._answering.more_body

    def unread_body(self) -> bytes:
        """What has arrived of that body and was not read, also when its client has left since."""
        return self._answering.take() if self._answering is not None else b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._writer = BufferedWriter(transport, self.write_batch, self.loop)
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "",
            "method": "",
            "scheme": self.scheme,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": self.root_path,
            "headers": [],
            "client": self.client,
            "server": self.server,
            "tollgate.target": b"",
            "tollgate.connection": None,
        }
        """What a scope has of its connection, and room for the rest: a copy costs less than to build one anew."""
        self._queue: deque[RequestResponseCycle] = deque()
        """Pipelined requests that wait for the answers before theirs."""
        self._await_head()
        if self.draining:
            self.shutdown()

    def shutdown(self) -> None:
        """Called by a server that drains. A client that is just about to ask still gets its answer."""
        if self._idle:
            self.loop.call_later(LINGER_SECONDS, self._close_if_idle)
        elif self._newest is not None:
            self._newest.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.connections.discard(self)
        self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment] # it holds this object in turn
        self._stop_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnect()
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def data_received(self, data: bytes) -> None:
        if self._final_response is not None:
            return
        self._read_bytes = len(data)
        if self._in_head:
            self._head_bytes += self._read_bytes
        cycle = self._newest
        body_bytes = cycle.unread if cycle is not None else 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # its request is on the way to be refused; the rest of this read is not HTTP
        except httptools.HttpParserError as error:
            self._give_up(TOO_LARGE if isinstance(error.__context__, HeadTooLarge) else MALFORMED)
            return
        if self._in_head:
            self._await_head()
            if self._head_bytes > self.max_header_bytes:
                self._give_up(TOO_LARGE)
        elif self._newest is cycle and (cycle is None or (cycle.more_body and cycle.unread == body_bytes)):
            self._count_unseen()
        else:
            self._unseen_bytes = 0

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._first_read_bytes = self._read_bytes
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        if len(self.headers) > self.max_header_fields or (
            self._first_read_bytes + self._head_bytes > self.max_header_bytes
            and self._head_size() > self.max_header_bytes
        ):
            raise HeadTooLarge
        self._begin_request()
        self.headers = []  # trailers end up here, not among the fields of the request
        self._in_head = False
        if self._timer is not None:
            self._stop_timer()

    def _begin_request(self) -> None:
        """As uvicorn does it, with our own cycle. The edge parses the target; nobody relies on the path before it."""
        version = self.parser.get_http_version()
        path, _, query = self.url.partition(b"?")
        text = path.decode("latin-1")
        scope = self._scope.copy()
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = unquote(text) if "%" in text else text
        scope["raw_path"] = path
        scope["query_string"] = query
        scope["headers"] = self.headers
        scope["tollgate.target"] = self.url
        scope["tollgate.connection"] = self
        before = self._newest
        self._newest = cycle = RequestResponseCycle(
            scope, self._writer, self.flow, self.server_state.default_headers, self._answered
        )
        if version == "1.0":
            cycle.keep_alive = False
        else:
            cycle.keep_alive = not self.draining and self.parser.should_keep_alive()
            cycle.waiting_for_100_continue = self.expect_100_continue
        if before is None or before.response_complete:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            self._queue.append(cycle)

    def on_body(self, body: bytes) -> None:
        if self._newest is not None and not self._newest.response_complete:
            self._newest.feed(body)

    def on_message_complete(self) -> None:
        if self._newest is not None and not self._newest.response_complete:
            self._newest.feed_end()

    def _start(self, cycle: RequestResponseCycle) -> None:
        self._answering = cycle
        cycle.start(self.app, self.tasks)

    def _answered(self) -> None:
        self._callback = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._queue:
            self._start(self._queue.popleft())
        elif self._final_response is not None:
            self._close(self._final_response)
        else:
            self._idle_since = self.loop.time()
            if self._idle_timer is None:
                self._idle_timer = self.loop.call_later(self.config.timeout_keep_alive, self._idle_too_long)

    def _idle_too_long(self) -> None:
        self._idle_timer = None
        left = self._idle_since + self.config.timeout_keep_alive - self.loop.time()
        if not self._idle:
            return  # the end of the next answer sets it again
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._idle_too_long)
        else:
            self._writer.close()

    @property
    def _idle(self) -> bool:
        return not self._in_head and (self._newest is None or self._newest.response_complete)

    def _close_if_idle(self) -> None:
        if self._idle:
            self._writer.close()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _count_unseen(self) -> None:
        self._unseen_bytes += self._read_bytes
        if self._newest is None or self._newest.response_complete:
            self._await_head()
        if self._unseen_bytes > _UNSEEN_LIMIT:
            self._give_up(TOO_LARGE)

    def _give_up(self, words: bytes) -> None:
        """Trust nothing that arrives from here on; requests that arrived whole are still answered."""
        self._stop_timer()
        cycle = self._newest
        in_body = cycle is not None and cycle.more_body and not self._in_head
        if in_body and cycle is not None and cycle.response_complete:
            words = b""  # the request at fault has its answer already
        self._final_response = words
        if cycle is None or cycle.response_complete:
            self._close(words)
        elif in_body:
            self._abandon(cycle, words)

    def _abandon(self, cycle: RequestResponseCycle, words: bytes) -> None:
        """The fault is inside the body of `cycle`: whoever reads it meets a disconnect, never its end."""
        if cycle is not self._answering:
            self._queue.pop()
            return
        started = cycle.response_started
        cycle.disconnect()
        if started:
            self.abort()
        else:
            self._close(words)

    def _close(self, words: bytes) -> None:
        self._writer.write(words)
        self._writer.close()

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._head_is_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if self._in_head:
            self._give_up(LATE)
        else:
            self._writer.close()
