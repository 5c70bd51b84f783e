"""Metrics and log lines of the history and its archiver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.history")


class HistoryMetrics:
    """Implements `proxy.history.archive.observer.HistoryObserver`; one instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.unavailable_now = Gauge(
            "tollgate_history_unavailable",
            "1 while the history takes no events, so that they stay in Redis.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.lag_seconds = Gauge(
            "tollgate_history_lag_seconds",
            "Age of the oldest event or audit line that is not in the history yet.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.pinned_seconds = Gauge(
            "tollgate_history_pinned_seconds",
            "Age of the oldest event that stays in Redis only for an export group.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.events = Counter("tollgate_history_events", "Events added to the history.", registry=registry)
        self.network_units = Counter(
            "tollgate_network_units",
            "Units by which gateways pay orchestrators, of events added to the history.",
            ("workload",),
            registry=registry,
        )
        self.repeats = Counter(
            "tollgate_history_repeated", "Stream entries whose event was in the history before.", registry=registry
        )
        self.trims = Counter("tollgate_history_trimmed", "Stream entries trimmed from Redis.", registry=registry)
        self.prunings = Counter("tollgate_history_pruned", "Events pruned from the history.", registry=registry)

        self.audit_lines = Counter("tollgate_audit_lines", "Audit lines added to the history.", registry=registry)

    @classmethod
    def apart(cls) -> Self:
        """Return what the archiver of an erasure reports to: its metrics are not exported."""
        return cls(CollectorRegistry())

    def unavailable(self, reason: str) -> None:
        """The history cannot be used: one line per change."""
        self.unavailable_now.set(1)
        log.error("history_unavailable", reason=reason)

    def recovered(self) -> None:
        self.unavailable_now.set(0)
        log.info("history_recovered")

    def archived(self, added: int, repeated: int) -> None:
        self.events.inc(added)
        self.repeats.inc(repeated)

    def network_units_archived(self, units: Mapping[str, int]) -> None:
        """Count what the gateways pay by; the archiver does, off the path of requests, and each event once."""
        for workload, number in units.items():
            self.network_units.labels(workload).inc(number)

    def audited(self, lines: int) -> None:
        self.audit_lines.inc(lines)

    def unreadable(self, stream: str, entry: str) -> None:
        log.error("history_unreadable_entry", stream=stream, entry=entry)

    def trimmed(self, entries: int) -> None:
        self.trims.inc(entries)

    def pruned(self, events: int) -> None:
        self.prunings.inc(events)
        log.info("history_pruned", events=events)

    def rewound(self, stream: str) -> None:
        log.info("history_stream_compared", stream=stream, reason="Redis was restarted or failed over")

    def group_behind(self, stream: str, group: str) -> None:
        log.warning("export_group_behind", stream=stream, group=group)

    def group_expired(self, stream: str, group: str) -> None:
        log.error("export_group_expired", stream=stream, group=group)

    def group_holds_pruning(self, stream: str, group: str) -> None:
        log.warning("export_group_holds_pruning", stream=stream, group=group)

    def totals_differ(self, app: str, day: str) -> None:
        log.error("history_totals_differ", app=app, day=day)

    def lag(self, seconds: float, pinned_seconds: float) -> None:
        self.lag_seconds.set(seconds)
        self.pinned_seconds.set(pinned_seconds)
