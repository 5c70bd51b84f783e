"""Meter of BYOC requests: milliseconds of wall time, from the request to the last byte with content.

A 200 is no proof of work (gateway contract section 1.7): it is empty when every orchestrator failed, an event stream
may end for want of funds, and one that ends without `[DONE]` goes on as a flood of line ends until the job's timeout.
Such a stream is not complete; its time ends where the flood begins.

A worker may repeat a prompt that holds the same words, and no prompt makes a job free. The gateway itself ends a stream
at any line that holds `[DONE]`: what it delivered by then is the job. That funds have run out is said by a whole line,
after which nothing comes but the balance and the end. The time is at most what the job could take: its timeout, and
what the gateway adds to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from config.workloads import Unit
from middlewares.exchange import Declaration, Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import WithoutMedia, header, metered
from middlewares.usage_tracker.meters.bounds import bounded
from middlewares.usage_tracker.meters.sse import Lines

_DONE = b"[DONE]"
_NO_FUNDS = frozenset({b"event: insufficient balance", b"event:insufficient balance"})
_ENDS = frozenset({b"data: [DONE]", b"data:[DONE]"})
_BALANCE = (b'data: {"balance":', b'data:{"balance":')


class ByocMeter(WithoutMedia):
    """Counts wall time; of an event stream it keeps only the line that has not ended."""

    __slots__ = ("_clock", "_declared", "_done", "_end", "_failed", "_lines", "_start", "_status", "_tail")

    def __init__(self, declared: Declaration, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock, which counts seconds."""
        self._declared = declared
        self._clock = clock
        self._start = clock()
        self._end: float | None = None
        """Time of the last byte that is neither a line end nor a space."""
        self._status = 0
        self._lines: Lines | None = None
        """Reader of the response; None: it is no event stream."""
        self._done = False
        self._tail = b""
        """The last bytes, which may be the beginning of `[DONE]`."""
        self._failed = False

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: nothing of it is counted."""

    def response_start(self, status: int, headers: Headers) -> None:
        self._status = status
        events = header(headers, b"content-type").startswith(b"text/event-stream")
        self._lines = Lines() if events else None

    def response_body(self, chunk: bytes) -> None:
        empty = not chunk or chunk.isspace()
        if not empty:
            self._end = self._clock()
        if self._lines is None or (empty and not self._lines.pending):  # a flood of line ends is not worth a look
            return
        if not self._done:
            text = self._tail + chunk
            self._done, self._tail = _DONE in text, text[1 - len(_DONE) :]
        for line in self._lines.feed(chunk):
            if line in _NO_FUNDS:
                self._failed = True
            elif line not in _ENDS and not line.startswith(_BALANCE):
                self._failed = False  # it was the worker's, for the stream goes on

    def usage(self) -> Usage:
        if 400 <= self._status < 500:
            return Usage()
        if self._status not in (0, 200) or (self._status == 200 and self._end is None):
            return Usage(complete=False)
        # Without a response the job was still running: a client that left it pays by the plan's rule for that.
        end = self._clock() if self._end is None else self._end
        complete = self._end is not None and not self._failed and (self._done or self._lines is None)
        units = {Unit.MILLISECONDS: round((end - self._start) * 1000)}
        usage = metered(units, dict.fromkeys(units, Provenance.MEASURED), complete=complete)
        return bounded(usage, self._declared.units)
