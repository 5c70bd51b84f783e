"""The circuit breaker: after a few failures in a row it spares callers the wait, and now and then lets one try."""

import time
from collections.abc import Callable
from enum import StrEnum


class BreakerState(StrEnum):
    """Closed lets every call pass, open none, half-open waits for the one call that tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


# Bound once: before Python 3.12, naming a member of an enum costs as much as a call.
_CLOSED, _OPEN = BreakerState.CLOSED, BreakerState.OPEN


class Breaker:
    """Opens after `threshold` failures in a row; every `retry_after` seconds one call may pass as a probe.

    `on_change(state, cause)` hears once that the node is lost (open) and once that it is back (closed). An answer alone
    does not bring it back: a node that is full, read-only or slow still serves some calls, and would be lost and found
    again with each of them. Where writes have failed of late, one of that name must succeed.
    """

    LATELY = 2.0
    """Seconds. Some writes are rare: one that failed long ago must not keep a node lost until its next time."""

    def __init__(
        self,
        on_change: Callable[[BreakerState, str], None],
        *,
        threshold: int = 3,
        retry_after: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = _CLOSED
        self.cause = ""
        self._on_change = on_change
        self._threshold = threshold
        self._retry_after = retry_after
        self._clock = clock
        self._failures = 0
        self._failed_writes: dict[str, float] = {}
        """When writes of a name failed last."""
        self._lost = False
        self._probe_at = 0.0

    def allows(self) -> bool:
        """Whether a call may pass now; when the breaker is not closed, a True makes that call the probe.

        A probe that never reports (its caller went away) is replaced by another after `retry_after`.
        """
        if self.state is _CLOSED:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self.state = BreakerState.HALF_OPEN
        self._probe_at = now + self._retry_after
        return True

    def succeeded(self, write: str = "") -> None:
        """A call was answered; `write` is its name if it writes.

        While open, that is news from before; only a probe's answer closes.
        """
        if not self._failures or self.state is _OPEN:
            return
        self.state = _CLOSED
        if self._failed_writes and write not in self._failed_writes:
            since = self._clock() - self.LATELY
            if any(failed > since for failed in self._failed_writes.values()):
                return
        self._failures = 0
        self._failed_writes.clear()
        if self._lost:
            self._lost = False
            self._on_change(self.state, self.cause)

    def failed(self, cause: str, write: str = "") -> None:
        """A call could not be served, for the reason `cause`; `write` is its name if it writes."""
        self._failures += 1
        if write:
            self._failed_writes[write] = self._clock()
        if self.state is BreakerState.HALF_OPEN:
            self.state = _OPEN
        elif self.state is _CLOSED and self._failures >= self._threshold:
            self.state = _OPEN
            self._probe_at = self._clock() + self._retry_after
            if not self._lost:
                self._lost, self.cause = True, cause
                self._on_change(self.state, cause)
