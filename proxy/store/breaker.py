"""The circuit breaker: after a few failures in a row calls fail at once, and now and then one may probe the node."""

import time
from collections.abc import Callable
from enum import StrEnum


class BreakerState(StrEnum):
    """Closed lets every call pass, open none; half-open waits for the reply to its probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after `threshold` failures in a row; every `retry_after` seconds one call may pass as a probe.

    `on_change(state, cause)` is called once when the node is lost (open) and once when it is back (closed). A reply
    alone does not bring it back: a node that is full, read-only or slow still serves some calls, and would be lost and
    found again with each of them. Where writes have failed lately, one of that name must succeed.
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
        self.state = BreakerState.CLOSED
        self.cause = ""
        self._on_change = on_change
        self._threshold = threshold
        self._retry_after = retry_after
        self._clock = clock
        self.failures = 0
        """Failures since the node served last; at 0 `succeeded` has nothing to do."""
        self._failed_writes: dict[str, float] = {}
        """When a write failed last, by its name."""
        self._lost = False
        self._probe_at = 0.0

    def allows(self) -> bool:
        """Return True if a call may pass now; where the breaker is not closed, that makes the call the probe.

        A probe that never reports (its caller went away) is replaced by another after `retry_after`.
        """
        if self.state is BreakerState.CLOSED:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self.state = BreakerState.HALF_OPEN
        self._probe_at = now + self._retry_after
        return True

    def succeeded(self, write: str = "") -> None:
        """Count a call that got a reply; `write` is its name if it writes.

        While the breaker is open, such a reply is to an earlier call; only a probe's closes it.
        """
        if not self.failures or self.state is BreakerState.OPEN:
            return
        self.state = BreakerState.CLOSED
        if self._failed_writes and write not in self._failed_writes:
            since = self._clock() - self.LATELY
            if any(failed > since for failed in self._failed_writes.values()):
                return
        self.failures = 0
        self._failed_writes.clear()
        if self._lost:
            self._lost = False
            self._on_change(self.state, self.cause)

    def failed(self, cause: str, write: str = "") -> None:
        """Count a call that could not be served, for the reason `cause`; `write` is its name if it writes."""
        self.failures += 1
        if write:
            self._failed_writes[write] = self._clock()
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN
        elif self.state is BreakerState.CLOSED and self.failures >= self._threshold:
            self.state = BreakerState.OPEN
            self._probe_at = self._clock() + self._retry_after
            if not self._lost:
                self._lost, self.cause = True, cause
                self._on_change(self.state, cause)
