"""Redis time as a worker knows it between two replies."""

from time import monotonic_ns, time_ns

STEP_MS = 1_000


class RedisClock:
    """Estimates the time of the Redis server from the times in its replies.

    A reply is never older than it says, so the estimate runs behind by at most the time until the reply was read;
    the largest difference seen is the closest. A step back by more than a second is another server's clock.
    """

    def __init__(self) -> None:
        self._offset: int | None = None

    @property
    def known(self) -> bool:
        """True once a reply was seen."""
        return self._offset is not None

    def observe(self, redis_ms: int) -> None:
        """Take in the time (Unix milliseconds) of a reply that was read just now."""
        offset = redis_ms - monotonic_ns() // 1_000_000
        if self._offset is None or offset > self._offset or offset < self._offset - STEP_MS:
            self._offset = offset

    def reset_to(self, redis_ms: int) -> None:
        """Forget earlier replies: the server at the other end is another one."""
        self._offset = redis_ms - monotonic_ns() // 1_000_000

    def now_ms(self) -> int:
        """Return Unix milliseconds, by the machine's own clock until Redis has replied once."""
        if self._offset is None:
            return time_ns() // 1_000_000
        return monotonic_ns() // 1_000_000 + self._offset
