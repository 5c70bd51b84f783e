"""Live streams as metrics."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter


class LiveMetrics:
    """One instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.begun = Counter("tollgate_live_streams_begun", "Live streams that were let in.", registry=registry)
        self.refused = Counter(
            "tollgate_live_streams_refused", "Live streams that were not.", ("code",), registry=registry
        )
        self.ended = Counter(
            "tollgate_live_streams_ended",
            "Live streams that gateways were told to end.",
            ("reason",),
            registry=registry,
        )
