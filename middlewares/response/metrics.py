"""Metrics of the data path, for Prometheus.

Label values come from closed sets: route names, statuses, outcomes, Tollgate's own codes, workloads, units, and the
limits of plans. Nothing a client chooses becomes a label. With several workers `PROMETHEUS_MULTIPROC_DIR` must be in
the environment before `prometheus_client` is first imported; values then live in files that every worker's exposition
adds up.

A value in such a file costs more than a microsecond to change, and a request changes a dozen. So requests are tallied
in plain numbers and lists, and a few times a second the tallies are added to the metrics.
"""

from __future__ import annotations

import asyncio
import math
import os
from bisect import bisect_right
from collections.abc import Iterable

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from middlewares.exchange import Exchange, Outcome

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300)
"""Seconds: those of OpenTelemetry's `http.server.request.duration`, and three more, for inference takes minutes."""

FLUSH_SECONDS = 0.25
"""How old a metric may be; a killed worker loses what happened in that time."""

NO_ROUTE = "none"
"""Route label of requests that matched neither a client route nor a control surface."""


class _Tally:
    """The requests of one route, status and outcome that ended since the last flush."""

    __slots__ = ("bytes_in", "bytes_out", "disconnects", "durations", "first_bytes", "units", "workload")

    def __init__(self, workload: str) -> None:
        self.workload = workload
        self.durations: list[float] = []
        """Seconds, one for each request."""
        self.first_bytes: list[float] = []
        self.bytes_in = 0
        self.bytes_out = 0
        self.disconnects = 0
        self.units: dict[str, int] = {}


def _observe(histogram: Histogram, seconds: list[float]) -> None:
    """Add observations to a histogram. prometheus-client has no public way to add more than one at a time."""
    seconds.sort()
    below = 0
    for bucket, bound in zip(histogram._buckets, (*BUCKETS, math.inf), strict=True):
        within = bisect_right(seconds, bound)
        if within > below:
            bucket.inc(within - below)
        below = within
        if below == len(seconds):
            break
    histogram._sum.inc(sum(seconds))


class RequestMetrics:
    """The metrics of requests; one instance per process and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "tollgate_requests", "Requests responded to.", ("route", "status", "outcome"), registry=registry
        )
        self.duration = Histogram(
            "tollgate_request_duration_seconds",
            "From a request's head to the end of its response.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.first_byte = Histogram(
            "tollgate_upstream_first_byte_seconds",
            "From the request sent to the head of the gateway's response.",
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
        self.bytes_out = Counter("tollgate_response_bytes", "Bytes of response bodies.", ("route",), registry=registry)
        self.units = Counter("tollgate_usage_units", "Units used, as metered.", ("workload", "unit"), registry=registry)
        self.refusals = Counter(
            "tollgate_refusals",
            "Requests to which Tollgate itself responded with a problem document.",
            ("code",),
            registry=registry,
        )
        self.limit_refusals = Counter(
            "tollgate_limit_refusals",
            "Requests that a limit has refused; they are among tollgate_refusals.",
            ("code", "policy"),
            registry=registry,
        )
        self.disconnects = Counter(
            "tollgate_disconnects", "Requests whose client went away.", ("route",), registry=registry
        )
        self._active = 0
        self._ended: dict[tuple[str, int, str], _Tally] = {}
        self._refusals: dict[str, int] = {}
        self._limit_refusals: dict[tuple[str, str], int] = {}

    def begin(self) -> None:
        """Count a request that is being served from now on."""
        self._active += 1

    def end(self, exchange: Exchange, *, seconds: float) -> None:
        """Count the end of a request that `begin` has counted, after `seconds`."""
        self._active -= 1
        route, outcome = exchange.route, exchange.ending.outcome
        ended = (route.name if route else exchange.surface or NO_ROUTE, exchange.client_status, outcome)
        tally = self._ended.get(ended)
        if tally is None:
            tally = self._ended[ended] = _Tally(route.workload if route else "")
        tally.durations.append(seconds)
        if exchange.upstream_seconds is not None:
            tally.first_bytes.append(exchange.upstream_seconds)
        tally.bytes_in += exchange.bytes_in
        tally.bytes_out += exchange.bytes_out
        if outcome is Outcome.CLIENT_DISCONNECT:
            tally.disconnects += 1
        if route is not None:
            units = tally.units
            for unit, count in exchange.units.items():
                units[unit] = units.get(unit, 0) + count

    def refuse(self, code: str, policy: str = "") -> None:
        """Count a problem document with this `code`, and the `policy` of the limit that refused; empty: none did."""
        self._refusals[code] = self._refusals.get(code, 0) + 1
        if policy:
            self._limit_refusals[code, policy] = self._limit_refusals.get((code, policy), 0) + 1

    def flush(self) -> None:
        """Add what was tallied to the metrics."""
        self.in_flight.set(self._active)
        for code, count in self._refusals.items():
            self.refusals.labels(code).inc(count)
        self._refusals.clear()
        for limit, count in self._limit_refusals.items():
            self.limit_refusals.labels(*limit).inc(count)
        self._limit_refusals.clear()
        for (route, status, outcome), tally in self._ended.items():
            self.requests.labels(route, status, outcome).inc(len(tally.durations))
            _observe(self.duration.labels(route), tally.durations)
            _observe(self.first_byte.labels(route), tally.first_bytes)
            self.bytes_in.labels(route).inc(tally.bytes_in)
            self.bytes_out.labels(route).inc(tally.bytes_out)
            self.disconnects.labels(route).inc(tally.disconnects)
            for unit, count in tally.units.items():
                self.units.labels(tally.workload, unit).inc(count)
        self._ended.clear()

    async def keep_flushing(self) -> None:
        """Flush until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.flush()


def exposition(registry: CollectorRegistry = REGISTRY) -> tuple[str, bytes]:
    """Return content type and body for a scrape: of all workers where they share a directory, else of `registry`."""
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(_shared(registry))


def all_metrics(registry: CollectorRegistry = REGISTRY) -> Iterable[Metric]:
    """Return what a scrape shows, as numbers."""
    return _shared(registry).collect()


class _SharedMetrics(MultiProcessCollector):
    """The metrics of all processes, but for files that one has just begun: they are empty for a moment."""

    def collect(self) -> Iterable[Metric]:
        files = [entry.path for entry in os.scandir(self._path) if entry.name.endswith(".db") and _has_content(entry)]
        return self.merge(files, accumulate=True)  # type: ignore[no-any-return, no-untyped-call]


def _has_content(file: os.DirEntry[str]) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # its process has ended meanwhile
        return False


def _shared(registry: CollectorRegistry) -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        _SharedMetrics(registry)  # type: ignore[no-untyped-call]
    return registry
