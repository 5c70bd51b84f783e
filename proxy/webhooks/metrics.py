"""Metrics of live streams."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter


class LiveMetrics:
    """The metrics of the live webhooks; one instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.begun = Counter("tollgate_live_streams_begun", "Live streams that were authorised.", registry=registry)
        self.refused = Counter(
            "tollgate_live_streams_refused", "Live streams that were refused.", ("code",), registry=registry
        )
        self.ended = Counter(
            "tollgate_live_streams_ended",
            "Live streams that gateways were instructed to end.",
            ("reason",),
            registry=registry,
        )
