"""Limits by client network: so many of something in a minute of each, counted in this worker's memory."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from middlewares.client_network import client_network
from middlewares.exchange import Refusal

MAX_ADDRESSES = 10_000
"""Clients that are counted; past that, the one that was silent for the longest is forgotten."""


class AddressLimit:
    """Counts what a client does, and refuses what is past the limit in the minute that began with the first."""

    def __init__(
        self, policy: str, amount: int, *, counted: str, unit: str, advice: str = "", max_addresses: int = MAX_ADDRESSES
    ) -> None:
        """Allow `amount` a minute. `counted`, `unit` and `advice` say in the refusal what of, and what helps."""
        self._policy = policy
        self._item = RateLimitItemPerMinute(amount)
        self._counted = counted
        self._unit = unit
        self._advice = advice
        self._max_addresses = max_addresses
        self._clients: dict[str, None] = {}
        """Those that are counted, the most recent one last."""
        self._limiter = FixedWindowRateLimiter(MemoryStorage())  # one counter a client; others keep every time

    def count(self, address: str) -> None:
        """Count one for the client at `address`. Raises `Refusal` (429) past the limit."""
        client = client_network(address)
        self._clients.pop(client, None)
        self._clients[client] = None
        if len(self._clients) > self._max_addresses:
            silent = next(iter(self._clients))
            del self._clients[silent]
            self._limiter.clear(self._item, silent)
        if self._limiter.hit(self._item, client):
            return
        reset_time, _ = self._limiter.get_window_stats(self._item, client)
        seconds = math.ceil(reset_time - time.time())
        if seconds > self._item.get_expiry() + 1:  # the clock was set back since its minute began
            self._limiter.clear(self._item, client)
            self._limiter.hit(self._item, client)
            return
        raise self._refusal(max(1, seconds))

    def _refusal(self, seconds: int) -> Refusal:
        return Refusal(
            429,
            "rate_limited",
            f"At most {self._item.amount} {self._counted} are allowed in 60 seconds ({self._policy}). "
            f"Try again in {seconds} seconds{self._advice}.",
            headers=[(b"retry-after", b"%d" % seconds)],
            members={
                "policy": self._policy,
                "unit": self._unit,
                "limit": self._item.amount,
                "remaining": 0,
                "reset": seconds,
                "violated-policies": [self._policy],
            },
        )
