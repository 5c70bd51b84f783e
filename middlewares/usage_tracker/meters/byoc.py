"""Meter of BYOC requests: milliseconds of wall time, from the request to the last byte with content.

A 200 is no proof of work (gateway contract section 1.7): it is empty when every orchestrator failed, an event stream
may end for want of funds, and one that ends without `[DONE]` goes on as a flood of line ends until the job's timeout.
Such a stream is not complete; its time ends where the flood begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import header, metered

_DONE = b"[DONE]"
_NO_FUNDS = b"event: insufficient balance"
_TAIL = len(_NO_FUNDS) - 1


class ByocMeter:
    """Counts wall time; of an event stream it keeps only as many bytes as may begin `[DONE]` or the error event."""

    __slots__ = ("_clock", "_done", "_end", "_events", "_failed", "_start", "_status", "_tail")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock, which counts seconds."""
        self._clock = clock
        self._start = clock()
        self._end: float | None = None
        """Time of the last byte that is neither a line end nor a space."""
        self._status = 0
        self._events = False
        self._done = False
        self._failed = False
        self._tail = b""

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: nothing of it is counted."""

    def response_start(self, status: int, headers: Headers) -> None:
        self._status = status
        self._events = header(headers, b"content-type").startswith(b"text/event-stream")

    def response_body(self, chunk: bytes) -> None:
        if not chunk or chunk.isspace():
            return
        self._end = self._clock()
        if self._events:
            text = self._tail + chunk
            self._done = self._done or text.find(_DONE) >= 0  # `in` would first try `_DONE` as a number, and raise
            self._failed = self._failed or text.find(_NO_FUNDS) >= 0
            self._tail = text[-_TAIL:]

    def usage(self) -> Usage:
        if 400 <= self._status < 500:
            return Usage()
        if self._status not in (0, 200) or (self._status == 200 and self._end is None):
            return Usage(complete=False)
        # Without a response the job was still running: a client that left it pays by the plan's rule for that.
        end = self._clock() if self._end is None else self._end
        complete = self._end is not None and not self._failed and (self._done or not self._events)
        units = {Unit.MILLISECONDS: round((end - self._start) * 1000)}
        return metered(units, dict.fromkeys(units, Provenance.MEASURED), complete=complete)
