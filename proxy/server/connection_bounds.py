"""Bounds of one connection: heads in size and time, bytes of no body, time without a request, the pace of a reader."""

from __future__ import annotations

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.network.reading_pace import ReadingPace
from proxy.network.sliced_reads import BODY_SLICE, SlicedReads, head_slice
from proxy.server.request_response_cycle import RequestResponseCycle
from proxy.server.static_responses import CHUNKS_TOO_SMALL, HEAD_LATE, HEAD_TOO_LARGE

MAX_UNREAD_BYTES = 262_144
"""Bytes in a row that may arrive without being part of a body that somebody reads."""
MAX_FRAMING_BYTES = 524_288
"""Bytes of chunk framing, extensions and trailers in one body, beyond two for every byte of its data."""
CHUNK_COST = 32
"""Bytes as which a chunk counts beside its framing: its few bytes take longer to parse than many in a row."""


class HeadTooLarge(Exception):
    """The request head exceeds its bounds."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds. What it does to a connection that exceeds them is up to its subclass."""

    max_header_fields: int
    max_header_bytes: int
    header_seconds: float

    _newest: RequestResponseCycle | None = None
    """The request whose head was parsed last."""
    _reads: SlicedReads
    _in_head = False
    _read_bytes = 0
    """Size of the latest slice of what was read."""
    _first_read_bytes = 0
    """Size of the slice the head began in, which may have other bytes before it."""
    _head_bytes = 0
    """Bytes of the head in later slices."""
    _body_bytes = 0
    """Bytes of the latest request's body that have arrived."""
    _unread_bytes = 0
    """Bytes of trailers, of chunk framing beyond its share, or of the rest of a body whose request has its response."""
    _head_timer: asyncio.TimerHandle | None = None
    _idle_timer: asyncio.TimerHandle | None = None
    """Runs on while requests come and go; when it fires, it looks how long the connection has been idle."""
    _idle_since = 0.0
    _reading_pace: ReadingPace | None = None
    """Not None: the client has been slow to read before."""

    _body_parser: httptools.HttpRequestParser | None = None
    """Not None: takes over from `parser`, which cannot read the body behind an offer to upgrade."""

    @property
    def _idle(self) -> bool:
        """True while the connection has no request, not even a part of one."""
        raise NotImplementedError

    def _give_up(self, final_response: bytes) -> None:
        """Read nothing more; close the connection after `final_response`."""
        raise NotImplementedError

    def _close(self, final_response: bytes = b"") -> None:
        """Close the connection after `final_response`."""
        raise NotImplementedError

    def _close_if_idle(self) -> None:
        if self._idle:
            self._close()

    def _parse(self, data: bytes | memoryview) -> None:
        """Feed the parser, which pauses behind a request that offers an upgrade: it goes on in HTTP/1.1."""
        self._read_bytes = len(data)
        if self._in_head:
            self._head_bytes += self._read_bytes
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as pause:
                if self.parser.get_method() == b"CONNECT":
                    return  # the edge will refuse it; the rest of this read is not HTTP
                if self._body_parser is not None:
                    self.parser, self._body_parser = self._body_parser, None
                data = data[pause.args[0] :]
            else:
                return

    def _slice_size(self, data: bytes, at: int) -> int:
        """Return how much of what was read to parse in one go: the rest of a body of declared length, or a slice."""
        cycle = self._newest
        if cycle is None or self._in_head or not cycle.more_body:
            return head_slice(data, at)
        length = next((value for name, value in cycle.headers if name == b"content-length"), b"0")
        return max(BODY_SLICE, int(length) - self._body_bytes)

    def on_message_begin(self) -> None:
        """Begin to count a request head. Called by the parser."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._first_read_bytes = self._read_bytes
        self._head_bytes = 0

    def _end_head(self) -> None:
        """Check the complete head. Raises `HeadTooLarge`."""
        if len(self.headers) > self.max_header_fields or (
            self._first_read_bytes + self._head_bytes > self.max_header_bytes
            and self._head_size() > self.max_header_bytes
        ):
            raise HeadTooLarge
        self._in_head = False
        self._body_bytes = 0
        if self._head_timer is not None:
            self._stop_head_timer()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _check_incomplete_head(self) -> None:
        """Check what has been read of a head that is not complete yet."""
        self._start_head_timer()
        if self._head_bytes > self.max_header_bytes or len(self.headers) > self.max_header_fields:
            self._give_up(HEAD_TOO_LARGE)

    def _count(self, cycle: RequestResponseCycle | None, unread: int, parts: int) -> None:
        """Count the latest slice, before which `cycle` was the newest, with so much of its body unread."""
        if self._in_head:
            self._check_incomplete_head()
        elif self._newest is not cycle or (cycle is not None and not cycle.more_body):
            self._unread_bytes = 0
        elif cycle is None or cycle.response_complete:
            self._start_head_timer()
            self._count_unread()
        else:
            self._count_framing(cycle.unread - unread, len(cycle.parts) - parts)

    def _count_unread(self) -> None:
        """Count the latest slice, none of which is part of a body that somebody reads."""
        self._unread_bytes += self._read_bytes
        if self._unread_bytes > MAX_UNREAD_BYTES:
            self._give_up(HEAD_TOO_LARGE)

    def _count_framing(self, size: int, parts: int) -> None:
        """Count the latest slice, in which `size` bytes of a body that somebody reads came in so many parts."""
        framing = self._read_bytes - size + CHUNK_COST * max(0, parts - 1)
        self._unread_bytes = max(0, self._unread_bytes + framing - 2 * size)
        trailers = self.headers
        if self._unread_bytes > MAX_FRAMING_BYTES or len(trailers) > self.max_header_fields:
            self._give_up(HEAD_TOO_LARGE if trailers or not self._body_bytes else CHUNKS_TOO_SMALL)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.header_seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_timers(self) -> None:
        self._stop_head_timer()
        self._stop_idle_timer()
        if self._reading_pace is not None:
            self._reading_pace.stop()

    def pause_writing(self) -> None:
        """Expect the client to read: more waits for it than may. Called by the transport."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Write on, unless the connection is closed once the client has read the rest. Called by the transport."""
        super().resume_writing()
        if self._reading_pace is not None and not self.transport.is_closing():
            self._reading_pace.stop()

    def _expect_reading(self) -> None:
        if self._reading_pace is None:
            self._reading_pace = ReadingPace(self.transport, self.loop)
        self._reading_pace.start()

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._reads.waiting:
            self._start_head_timer()  # the rest may have arrived
        elif self._in_head:
            self._give_up(HEAD_LATE)
        else:
            self._close()

    def _start_idle_timer(self) -> None:
        """Close the connection after uvicorn's keep-alive timeout, unless another request comes."""
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.config.timeout_keep_alive, self._idle_too_long)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _idle_too_long(self) -> None:
        self._idle_timer = None
        if not self._idle:
            return  # the end of the next response starts it again
        left = self._idle_since + self.config.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._idle_too_long)
        else:
            self._close()
