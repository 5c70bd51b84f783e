"""Everything whose work is not measured by its answer: the request itself is the only unit."""

from __future__ import annotations

from middlewares.exchange import Headers
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.meters.base import metered


class CountMeter:
    """Counts one request if the gateway answered it with a success; bytes are counted by the stage itself.

    `answers`: a success of this route has a body. A gateway says 200 with an empty body to the wrong method on a batch
    route, and when every orchestrator of a BYOC job failed (gateway contract sections 1.0 and 1.7): such a 200 is no
    work. A refusal (4xx) is a whole exchange in which nothing was used; a 5xx, or no answer, is not whole.
    """

    __slots__ = ("_answers", "_empty", "_status")

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._status = 0
        self._empty = True

    def request(self, chunk: bytes) -> None:
        """Nothing of it is counted."""

    def response(self, status: int, headers: Headers) -> None:
        self._status = status

    def answer(self, chunk: bytes) -> None:
        if chunk:
            self._empty = False

    def usage(self) -> Usage:
        if 400 <= self._status < 500:
            return Usage()
        done = 200 <= self._status < 400 and not (self._answers and self._empty and self._status == 200)
        return metered({}, {}, complete=done)
