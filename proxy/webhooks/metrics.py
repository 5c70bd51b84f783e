"""Metrics of the webhooks."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter


class LiveMetrics:
    """The metrics of the webhooks; one instance per process and registry."""

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
        self.signer_decisions = Counter(
            "tollgate_signer_decisions",
            "Responses to remote signers, `allowed` or by the code of the refusal.",
            ("code",),
            registry=registry,
        )
        self.list_failures = Counter(
            "tollgate_orchestrator_list_failures",
            "Lists of orchestrators that could not be read or fetched, so that the last one stays in use.",
            ("tier",),
            registry=registry,
        )
