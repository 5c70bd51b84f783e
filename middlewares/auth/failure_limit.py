"""Throttle of refused credentials: so many a minute of one client address, counted in this worker's memory."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from middlewares.client_network import client_network
from middlewares.exchange import Refusal

POLICY = "auth-failures"
MAX_ADDRESSES = 10_000
"""Addresses that are counted; past that all counters start again, so that a flood of addresses costs no more memory."""


class FailureLimit:
    """Counts refused credentials by client address. Whoever guesses is slowed down; nobody else is counted."""

    def __init__(self, failures_per_minute: int, *, max_addresses: int = MAX_ADDRESSES) -> None:
        self._item = RateLimitItemPerMinute(failures_per_minute)
        self._max_addresses = max_addresses
        self._start()

    def _start(self) -> None:
        self._storage = MemoryStorage()  # `reset` of one that is in use would meet the thread that expires its counters
        self._limiter = FixedWindowRateLimiter(self._storage)  # one counter an address; others keep every time

    def count(self, address: str) -> None:
        """Count one refused credential of `address`. Raises `Refusal` (429) past the limit."""
        if len(self._storage.storage) >= self._max_addresses:
            self._start()
        client = client_network(address)
        if self._limiter.hit(self._item, client):
            return
        reset_time, _ = self._limiter.get_window_stats(self._item, client)
        seconds = max(1, math.ceil(reset_time - time.time()))
        raise Refusal(
            429,
            "rate_limited",
            f"At most {self._item.amount} refused credentials are allowed in 60 seconds ({POLICY}). "
            f"Try again in {seconds} seconds, with a valid credential.",
            headers=[(b"retry-after", b"%d" % seconds)],
            members={
                "policy": POLICY,
                "unit": "failures",
                "limit": self._item.amount,
                "remaining": 0,
                "reset": seconds,
                "violated-policies": [POLICY],
            },
        )
