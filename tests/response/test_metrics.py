"""What Prometheus reads: right with one worker and with several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Send

from config.workloads import Unit
from middlewares.exchange import Exchange, Outcome
from middlewares.response.metrics import RequestMetrics, exposition
from tests.response.server_fixture import responding, serving
from tests.response.test_request_log import fill

WORKER = """
import sys
from config.workloads import Unit
from middlewares.exchange import Exchange
from middlewares.response.metrics import RequestMetrics, exposition
from tests.response.test_request_log import fill
metrics = RequestMetrics()
for number in range(100):
    metrics.begin()
    exchange = Exchange("r", 0.0, "POST", "/text-to-image", client_status=200)
    fill(exchange)
    metrics.end(exchange, seconds=0.003)
metrics.begin()
metrics.refuse("rate_limited")
metrics.flush()
if sys.argv[1:]:
    sys.stdout.buffer.write(exposition()[1])
"""


def _samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_one_request(tmp_path: Path) -> None:
    seen: list[float] = []

    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        fill(exchange)
        seen.append(server.sample("tollgate_requests_in_flight"))
        await responding(200, body=b"12345")(exchange, receive, send)

    async with serving(inner, tmp_path) as server:
        await server.request("POST")
        await server.lines()
    route = "text-to-image"
    assert seen == [1]
    assert server.sample("tollgate_requests_in_flight") == 0
    assert server.sample("tollgate_requests_total", route=route, status="200", outcome="complete") == 1
    assert server.sample("tollgate_request_duration_seconds_count", route=route) == 1
    assert server.sample("tollgate_upstream_first_byte_seconds_bucket", route=route, le="0.25") == 1
    assert server.sample("tollgate_upstream_first_byte_seconds_bucket", route=route, le="0.1") == 0
    assert server.sample("tollgate_request_bytes_total", route=route) == 150
    assert server.sample("tollgate_response_bytes_total", route=route) == 5
    assert server.sample("tollgate_usage_units_total", workload=route, unit="pixels") == 262_144
    assert server.sample("tollgate_disconnects_total", route=route) == 0


def test_labels_are_closed_sets() -> None:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    for number in range(200):
        metrics.begin()
        exchange = Exchange("r", 0.0, "GET", f"/path/{number}", client_status=404)
        metrics.end(exchange, seconds=0.0)
    metrics.flush()
    assert exposition(registry)[1].count(b"tollgate_requests_total{") == 1


def test_exposition_of_one_process() -> None:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    metrics.begin()
    exchange = Exchange("r", 0.0, "GET", "/", client_status=200, units={Unit.REQUESTS: 1})
    exchange.end(Outcome.CLIENT_DISCONNECT)
    metrics.end(exchange, seconds=700.0)
    metrics.flush()
    content_type, body = exposition(registry)
    samples = _samples(body.decode())
    assert content_type.startswith("text/plain; version=0.0.4")
    assert samples[("tollgate_request_duration_seconds_bucket", (("le", "300.0"), ("route", "none")))] == 0
    assert samples[("tollgate_request_duration_seconds_bucket", (("le", "+Inf"), ("route", "none")))] == 1
    assert samples[("tollgate_disconnects_total", (("route", "none"),))] == 1


@pytest.mark.ci
def test_exposition_adds_up_all_workers(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for name in ("counter_1.db", "gauge_livesum_1.db"):  # a process that starts has files, and nothing in them yet
        (tmp_path / name).touch()
    for arguments in ([], [], ["scrape"]):
        ran = subprocess.run(
            [sys.executable, "-c", WORKER, *arguments],
            cwd=Path(__file__).parents[2],
            env=environment,
            capture_output=True,
            check=True,
            timeout=60,
        )
    samples = _samples(ran.stdout.decode())
    route = (("route", "text-to-image"),)
    assert samples[("tollgate_requests_total", (("outcome", "complete"), *route, ("status", "200")))] == 300
    assert samples[("tollgate_request_duration_seconds_count", route)] == 300
    assert samples[("tollgate_request_bytes_total", route)] == 300 * 150
    assert samples[("tollgate_usage_units_total", (("unit", "requests"), ("workload", "text-to-image")))] == 300
    assert samples[("tollgate_refusals_total", (("code", "rate_limited"),))] == 3
    assert samples[("tollgate_requests_in_flight", ())] == 3
