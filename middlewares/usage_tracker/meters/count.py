"""Meter of work that cannot be measured in its bodies: the request itself is the only unit."""

from __future__ import annotations

from middlewares.exchange import Headers
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.meters.base import WithoutMedia, metered


class CountMeter(WithoutMedia):
    """Counts one request if the gateway's response is a success; the stage itself counts bytes.

    `counts` is True if a success is something that is sold. A refusal (4xx) is a complete exchange in which nothing was
    used; a 5xx, or no response, is incomplete.
    """

    __slots__ = ("_counts", "_status")

    def __init__(self, *, counts: bool = True) -> None:
        self._counts = counts
        self._status = 0

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: nothing of it is counted."""

    def response_start(self, status: int, headers: Headers) -> None:
        self._status = status

    def response_body(self, chunk: bytes) -> None:
        """Ignore the body: nothing of it is counted."""

    def usage(self) -> Usage:
        done = 200 <= self._status < 400
        if 400 <= self._status < 500 or (done and not self._counts):
            return Usage()
        return metered({}, {}, complete=done)
