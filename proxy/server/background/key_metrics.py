"""Metric and log line of keys that are due to be rotated."""

from __future__ import annotations

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from proxy.control.key_age_watch import KeysDue

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.keys")


class KeyMetrics:
    """Takes counts of a `KeyAgeWatch`; one instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.rotation_due = Gauge(
            "tollgate_keys_rotation_due",
            "Keys older than `auth.rotate_after_days` that still work and were not rotated, as counted last.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._last = 0

    def due(self, counted: KeysDue) -> None:
        """Show a count: one line for each change."""
        self.rotation_due.set(counted.number)
        if counted.number != self._last:
            log.warning("keys_rotation_due", keys=counted.number, some=counted.examples)
            self._last = counted.number
