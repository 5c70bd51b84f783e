"""Metrics of the data path, for Prometheus.

Label values come from closed sets: route names, statuses, outcomes and codes of the gate, workloads and units. Nothing
a client chooses becomes a label. With several workers `PROMETHEUS_MULTIPROC_DIR` must be in the environment before
`prometheus_client` is first imported; values then live in files that every worker's exposition adds up.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from middlewares.exchange import Exchange, Outcome

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300)
"""Seconds: those of OpenTelemetry's `http.server.request.duration`, and three more, for inference takes minutes."""

NO_ROUTE = "none"
"""Route label of requests that matched no route of the gateway."""


class _RouteMetrics:
    """Children of the metrics that have `route` as their only label: looked up once, not once per request."""

    __slots__ = ("bytes_in", "bytes_out", "disconnects", "duration", "first_byte")

    def __init__(self, metrics: RequestMetrics, route: str) -> None:
        self.duration = metrics.duration.labels(route)
        self.first_byte = metrics.first_byte.labels(route)
        self.bytes_in = metrics.bytes_in.labels(route)
        self.bytes_out = metrics.bytes_out.labels(route)
        self.disconnects = metrics.disconnects.labels(route)


class RequestMetrics:
    """The metrics of requests; one instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "tollgate_requests", "Requests answered.", ("route", "status", "outcome"), registry=registry
        )
        self.duration = Histogram(
            "tollgate_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.first_byte = Histogram(
            "tollgate_upstream_first_byte_seconds",
            "From the request sent to the head of the gateway's answer.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "tollgate_requests_in_flight",
            "Requests being served.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.bytes_in = Counter("tollgate_request_bytes", "Bytes of request bodies.", ("route",), registry=registry)
        self.bytes_out = Counter("tollgate_response_bytes", "Bytes of answers' bodies.", ("route",), registry=registry)
        self.units = Counter("tollgate_usage_units", "Units used, as metered.", ("workload", "unit"), registry=registry)
        self.refusals = Counter(
            "tollgate_refusals", "Requests the gate itself answered with a problem.", ("code",), registry=registry
        )
        self.disconnects = Counter(
            "tollgate_disconnects", "Requests whose client went away.", ("route",), registry=registry
        )
        self._routes: dict[str, _RouteMetrics] = {}
        self._requests: dict[tuple[str, int, str], Counter] = {}
        self._units: dict[tuple[str, str], Counter] = {}

    def begin(self) -> None:
        """A request is being served from now on."""
        self.in_flight.inc()

    def end(self, exchange: Exchange, *, outcome: str, seconds: float) -> None:
        """A request that `begin` counted has ended after `seconds`."""
        self.in_flight.dec()
        name = exchange.route.name if exchange.route else NO_ROUTE
        route = self._routes.get(name)
        if route is None:
            route = self._routes[name] = _RouteMetrics(self, name)
        key = (name, exchange.status, outcome)
        requests = self._requests.get(key)
        if requests is None:
            requests = self._requests[key] = self.requests.labels(*key)
        requests.inc()
        route.duration.observe(seconds)
        if exchange.upstream_seconds is not None:
            route.first_byte.observe(exchange.upstream_seconds)
        if exchange.bytes_in:
            route.bytes_in.inc(exchange.bytes_in)
        if exchange.bytes_out:
            route.bytes_out.inc(exchange.bytes_out)
        if exchange.outcome is Outcome.CLIENT_DISCONNECT:
            route.disconnects.inc()
        if exchange.route is not None and exchange.units:
            self._count_units(exchange.route.workload.value, exchange)

    def refuse(self, code: str) -> None:
        """The gate itself answered, with the problem `code`."""
        self.refusals.labels(code).inc()

    def _count_units(self, workload: str, exchange: Exchange) -> None:
        for unit, count in exchange.units.items():
            key = (workload, unit.value)
            units = self._units.get(key)
            if units is None:
                units = self._units[key] = self.units.labels(*key)
            units.inc(count)


def exposition(registry: CollectorRegistry = REGISTRY) -> tuple[str, bytes]:
    """Content type and body for a scrape: of all workers where they share a directory, else of `registry`."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)
