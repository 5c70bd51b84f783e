"""Everything whose work is not measured by its answer: the request itself is the only unit."""

from __future__ import annotations

from middlewares.exchange import Headers
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.meters.base import metered


class CountMeter:
    """Counts one request if the gateway answered it with a success; bytes are counted by the stage itself.

    `counts`: a success is something that is sold. A refusal (4xx) is a whole exchange in which nothing was used; a
    5xx, or no answer, is not whole.
    """

    __slots__ = ("_counts", "_status")

    def __init__(self, *, counts: bool = True) -> None:
        self._counts = counts
        self._status = 0

    def request(self, chunk: bytes) -> None:
        """Nothing of it is counted."""

    def response(self, status: int, headers: Headers) -> None:
        self._status = status

    def answer(self, chunk: bytes) -> None:
        """Nothing of it is counted."""

    def usage(self) -> Usage:
        done = 200 <= self._status < 400
        if 400 <= self._status < 500 or (done and not self._counts):
            return Usage()
        return metered({}, {}, complete=done)
