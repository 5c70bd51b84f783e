"""Metrics and log lines of the gateways' health."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.gateways")


class GatewayMetrics:
    """The health of gateways as one process sees it; one instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.up = Gauge(
            "tollgate_gateway_up",
            "1 while every worker lets the gateway have new work, 0 while one has ejected it.",
            ("gateway",),
            registry=registry,
            multiprocess_mode="livemin",
        )

    def start(self, gateways: Iterable[str]) -> None:
        """Show the configured gateways, which are all up until found otherwise."""
        for url in gateways:
            self.up.labels(url).set(1)

    def ejected(self, url: str) -> None:
        self.up.labels(url).set(0)
        log.warning("gateway_ejected", gateway=url)

    def returned(self, url: str) -> None:
        self.up.labels(url).set(1)
        log.info("gateway_returned", gateway=url)
