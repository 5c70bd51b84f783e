"""Metrics and log lines of store and ledger."""

from __future__ import annotations

from pathlib import Path

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from middlewares.ledger.model import Hold, Settlement
from middlewares.store import StoreRejected
from proxy.store.breaker import BreakerState
from proxy.store.node import NodeChange

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.ledger")


class LedgerObserver:
    """Implements `middlewares.ledger.observer.Observer`; one instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.store_down = Gauge(
            "tollgate_store_unavailable",
            "Redis nodes this process does without at the moment.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.store_changes = Counter(
            "tollgate_store_changes",
            "Times that a Redis node became unavailable or came back.",
            ("state",),
            registry=registry,
        )
        self.redis_memory = Gauge(
            "tollgate_redis_memory_ratio",
            "Used part of the memory that Redis may take, of its fullest node.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.local = Counter(
            "tollgate_admissions_local", "Requests admitted by a worker's share, without Redis.", registry=registry
        )
        self.shadow = Counter(
            "tollgate_shadow_refusals",
            "Requests a limit in shadow mode would have refused.",
            ("policy",),
            registry=registry,
        )
        self.journal = Counter(
            "tollgate_usage_journaled", "Usage records kept on local disk for the time being.", registry=registry
        )
        self.unwritten = Counter(
            "tollgate_usage_lost",
            "Usage records that neither Redis nor disk took, and shares of workers gone with their logs; must stay 0.",
            registry=registry,
        )
        self.replays = Counter(
            "tollgate_usage_replayed", "Usage records written to Redis from a journal.", registry=registry
        )
        self.orphans = Counter(
            "tollgate_holds_orphaned", "Holds whose owner died, by the plan's policy.", ("policy",), registry=registry
        )

    def node_changed(self, change: NodeChange) -> None:
        """A node's breaker opened or closed: one line per change."""
        self.store_changes.labels(change.state.value).inc()
        if change.state is BreakerState.OPEN:
            self.store_down.inc()
            log.error("store_unavailable", node=change.node, cause=change.cause)
        elif change.state is BreakerState.CLOSED:
            self.store_down.dec()
            log.info("store_recovered", node=change.node)

    def admitted_locally(self) -> None:
        self.local.inc()

    def shadow_refusal(self, policy: str) -> None:
        self.shadow.labels(policy).inc()

    def journaled(self) -> None:
        self.journal.inc()

    def replayed(self, records: int) -> None:
        """Records of a journal are in Redis now."""
        self.replays.inc(records)
        log.info("journal_replayed", records=records)

    def rejected(self, settlement: Settlement, error: StoreRejected, kept_in: Path) -> None:
        self.unwritten.inc()
        request_id = settlement.hold.request_id
        log.error("usage_rejected", request_id=request_id, error=str(error), kept_in=str(kept_in))

    def lost(self, reason: str) -> None:
        self.unwritten.inc()
        log.error("usage_lost", reason=reason)

    def orphaned(self, hold: Hold) -> None:
        """A hold was ended in its owner's place."""
        self.orphans.labels(hold.on_orphan).inc()
        log.warning("hold_orphaned", request_id=hold.request_id, app=hold.app, policy=hold.on_orphan)
