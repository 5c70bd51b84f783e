"""The rate class of control requests: so many per minute of one client address, counted in this worker's memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from middlewares.client_network import client_network
from middlewares.exchange import Refusal
from middlewares.ledger.admission.sliding_window import SlidingWindow

POLICY = "control-requests"
SLOT_MS = 1_000
"""Width of one of the window's 60 slots, in milliseconds: the window is a minute."""
MAX_ADDRESSES = 10_000
"""Addresses whose requests are counted; past that, the one that was silent for the longest is forgotten."""


class AddressLimit:
    """Counts requests by client address, and refuses those past the limit."""

    def __init__(
        self,
        requests_per_minute: int,
        *,
        max_addresses: int = MAX_ADDRESSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = requests_per_minute
        self._max_addresses = max_addresses
        self._clock = clock
        self._windows: dict[str, SlidingWindow] = {}
        """By address, the most recent one last."""

    def admit(self, address: str) -> None:
        """Count one request of `address`. Raises `Refusal` (429) past the limit; what is refused does not count."""
        now_ms = int(self._clock() * 1000)
        client = client_network(address)
        window = self._windows.pop(client, None) or SlidingWindow(self._limit, SLOT_MS)
        self._windows[client] = window
        if len(self._windows) > self._max_addresses:
            del self._windows[next(iter(self._windows))]
        if not window.admit(now_ms):
            raise self._refusal(math.ceil(window.reset_ms(now_ms) / 1000))

    def _refusal(self, reset_seconds: int) -> Refusal:
        return Refusal(
            429,
            "rate_limited",
            f"At most {self._limit} requests are allowed in 60 seconds ({POLICY}). "
            f"Try again in {reset_seconds} seconds.",
            headers=[(b"retry-after", b"%d" % reset_seconds)],
            members={
                "policy": POLICY,
                "unit": "requests",
                "limit": self._limit,
                "remaining": 0,
                "reset": reset_seconds,
                "violated-policies": [POLICY],
            },
        )
