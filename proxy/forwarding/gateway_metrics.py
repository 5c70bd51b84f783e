"""Metrics and log lines of the gateways' health."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from middlewares.tier_routing.fleet import Fleet

SHOW_SECONDS = 0.25
"""How old the number of requests in flight may be."""

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
        self.in_flight = Gauge(
            "tollgate_gateway_requests_in_flight",
            "Requests that a gateway works for, and for a second those that it has dropped.",
            ("gateway",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.errors = Counter(
            "tollgate_gateway_errors",
            "Attempts that a gateway failed, by the code of the failure, or `status_502` to `status_504`.",
            ("gateway", "code"),
            registry=registry,
        )
        self._shown: dict[str, int] = {}

    def start(self, gateways: Iterable[str]) -> None:
        """Show the configured gateways, which are all up until found otherwise."""
        for url in gateways:
            self.up.labels(url).set(1)

    def failed(self, url: str, code: str) -> None:
        """Count an attempt that the gateway failed."""
        self.errors.labels(url, code).inc()

    async def keep_showing(self, fleet: Fleet) -> None:
        """Show what is in flight, until cancelled; no request pays for that."""
        while True:
            for url, state in fleet.gateways.items():
                if state.in_flight != self._shown.get(url, 0):
                    self._shown[url] = state.in_flight
                    self.in_flight.labels(url).set(state.in_flight)
            await asyncio.sleep(SHOW_SECONDS)

    def ejected(self, url: str) -> None:
        self.up.labels(url).set(0)
        log.warning("gateway_ejected", gateway=url)

    def returned(self, url: str) -> None:
        self.up.labels(url).set(1)
        log.info("gateway_returned", gateway=url)
