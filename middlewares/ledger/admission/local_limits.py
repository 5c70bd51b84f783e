"""Limits while Redis is away: each worker enforces its own share of them."""

import time

from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.admission.sliding_window import SlidingWindow
from middlewares.ledger.model import Denied


class LocalLimits:
    """Enforces windows and concurrency at the limit divided by the number of workers, and neither caps nor balances."""

    def __init__(self, workers: int, *, max_windows: int = 10_000) -> None:
        """Keep the state of at most `max_windows` windows; the oldest is forgotten first."""
        self._workers = workers
        self._max_windows = max_windows
        self._windows: dict[tuple[str, int], SlidingWindow] = {}
        self._leases: dict[str, set[str]] = {}

    @property
    def leases(self) -> int:
        """Number of concurrency leases that are taken."""
        return sum(map(len, self._leases.values()))

    def admit(self, policy: Policy, request_id: str) -> Denied | None:
        """Admit by this worker's share and return None, or return which rule refuses."""
        now = time.monotonic_ns() // 1_000_000
        rules = [rule for rule in policy.rules if rule.kind in "wc" and not rule.shadow]
        for rule in rules:
            if not self._fits(rule, now):
                reset = self._window(rule).reset_ms(now) if rule.kind == "w" else 0
                return Denied(rule.limit_state(0, reset), rule.code)
        for rule in rules:
            if rule.kind == "w":
                self._window(rule).admit(now)
            else:
                self._leases.setdefault(rule.keys[0], set()).add(request_id)
        return None

    def release(self, policy_keys: tuple[str, ...], request_id: str) -> None:
        """Give back the leases of a request that was admitted here."""
        for key in policy_keys:
            leases = self._leases.get(key)
            if leases:
                leases.discard(request_id)
                if not leases:
                    del self._leases[key]

    def _fits(self, rule: LimitRule, now: int) -> bool:
        if rule.kind == "w":
            window = self._window(rule)
            return window.count(now) < window.limit
        return len(self._leases.get(rule.keys[0], ())) < self._share(rule)

    def _window(self, rule: LimitRule) -> SlidingWindow:
        identity = rule.keys[0], self._share(rule)
        window = self._windows.get(identity)
        if window is None:
            if len(self._windows) >= self._max_windows:
                self._windows.pop(next(iter(self._windows)))
            window = self._windows[identity] = SlidingWindow(identity[1], rule.parameter)
        return window

    def _share(self, rule: LimitRule) -> int:
        return max(1, rule.limit // self._workers)
