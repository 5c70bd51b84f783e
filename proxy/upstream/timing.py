"""Time limits of an exchange, and the one timer that keeps them."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple


class Timeouts(NamedTuple):
    """Limits of one exchange in seconds; ``math.inf`` is no limit.

    A limit runs only while the gateway owes something: not while the reader of the response is busy elsewhere, nor
    while the source of a streamed request body has nothing to give.

    Attributes:
        queue: waiting for a connection when all are in use.
        connect: name look-up, TCP and TLS handshakes.
        first_byte: from the last byte written to the end of the response head. A streamed body restarts it with
            every chunk that it writes.
        idle: from asking for a part of the response body to getting one.
    """

    queue: float = 5.0
    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 300.0


class Deadline:
    """Time limit that moves with every request, over a timer that hardly ever does.

    A move to a later time is one assignment: the timer in flight finds out when it fires, and goes on waiting.
    """

    __slots__ = ("_at", "_expired", "_fires_at", "_loop", "_timer")

    def __init__(self, expired: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._expired = expired
        self._at = 0.0
        self._fires_at = 0.0
        self._timer: asyncio.Handle | None = None

    def start(self, seconds: float) -> None:
        """Call ``expired`` in ``seconds`` from now, and at no earlier time that was set before."""
        self._at = at = self._loop.time() + seconds
        if self._timer is None:
            self._arm()
        elif at < self._fires_at:
            self._timer.cancel()
            self._arm()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._fires_at = self._at
        self._timer = self._loop.call_at(self._at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._loop.time() < self._at:
            self._arm()
        else:
            self._expired()
