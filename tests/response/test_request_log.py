"""One JSON line per request: whole, bounded, and never the reason that a request fails."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Send

from config.plans import BUILT_IN_PLANS
from config.runtime import Log
from config.workloads import Unit
from middlewares.exchange import Declaration, Exchange, Outcome, Principal
from middlewares.response.log import RequestLog
from middlewares.routes import BY_NAME
from tests.response.server_fixture import responding, serving

PIPE_BUF = 4096

WRITER = """
import sys
from config.runtime import Log
from middlewares.exchange import Exchange
from middlewares.response.log import RequestLog
log = RequestLog(Log())
exchange = Exchange(sys.argv[1], 0.0, "GET", "/" + "p" * 290)
for _ in range(400):
    log.write(exchange, seconds=0.0)
"""


def fill(exchange: Exchange) -> None:
    """What the stages leave in the exchange of a request that went all the way."""
    exchange.route = BY_NAME["text-to-image"]
    exchange.principal = Principal("app1", "user1", "key1", "premium", BUILT_IN_PLANS["premium"])
    exchange.declared = Declaration(model="m")
    exchange.tier, exchange.pool, exchange.gateway = "gold", "default", "http://127.0.0.1:9935"
    exchange.forwarded, exchange.upstream_seconds, exchange.gateway_status = True, 0.25, 200
    exchange.units, exchange.amount = {Unit.PIXELS: 262_144, Unit.REQUESTS: 1}, 10**27
    exchange.bytes_in, exchange.client_address = 150, "203.0.113.9"


async def test_every_member(tmp_path: Path) -> None:
    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        fill(exchange)
        await responding(200, body=b"12345")(exchange, receive, send)

    async with serving(inner, tmp_path) as server:
        await server.request("POST", "/text-to-image?token=hidden")
        (line,) = await server.lines()
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line.pop("duration_ms") >= 0
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": server.exchanges[0].request_id,
        "method": "POST",
        "path": "/text-to-image",
        "route": "text-to-image",
        "status": 200,
        "gateway_status": 200,
        "outcome": "complete",
        "error": None,
        "app": "app1",
        "user": "user1",
        "key": "key1",
        "plan": "premium",
        "tier": "gold",
        "pool": "default",
        "gateway": "http://127.0.0.1:9935",
        "workload": "text-to-image",
        "model": "m",
        "units": {"pixels": 262_144, "requests": 1},
        "amount": str(10**27),
        "bytes_in": 150,
        "bytes_out": 5,
        "upstream_ms": 250.0,
        "client": "203.0.113.9",
        "fallback": None,
        "replay_of": None,
    }


def _written(tmp_path: Path, exchange: Exchange, config: Log | None = None) -> bytes:
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        RequestLog(config or Log(), fd=descriptor).write(exchange, seconds=1.0)
    finally:
        os.close(descriptor)
    return file.read_bytes()


@pytest.mark.parametrize("character", ["a", "\x01", '"', "\U0001f600", "\ud800"])
def test_whatever_a_client_chooses_a_line_stays_one_write(character: str, tmp_path: Path) -> None:
    exchange = Exchange("01" * 13, 0.0, "POST", character * 30_000)
    fill(exchange)
    exchange.declared = Declaration(model=character * 30_000)
    exchange.principal = Principal("app1", "u" * 30_000, "key1", "premium", BUILT_IN_PLANS["premium"])
    line = _written(tmp_path, exchange)
    assert len(line) <= PIPE_BUF
    assert line.count(b"\n") == 1
    assert json.loads(line)["path"] == character * 300


@pytest.mark.parametrize(
    ("config", "status", "written"),
    [
        (Log(), 200, True),
        (Log(requests=False), 500, False),
        (Log(level="warning"), 429, False),
        (Log(level="warning"), 502, True),
        (Log(level="error"), 502, False),
    ],
)
def test_levels(config: Log, status: int, written: bool, tmp_path: Path) -> None:
    exchange = Exchange("r", 0.0, "GET", "/", client_status=status)
    assert bool(_written(tmp_path, exchange, config)) is written


def test_a_log_nobody_reads_fails_no_request() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        RequestLog(Log(), fd=writing).write(Exchange("r", 0.0, "GET", "/"), seconds=0.0)
    finally:
        os.close(writing)


def test_disconnect_is_named() -> None:
    reading, writing = os.pipe()
    exchange = Exchange("r", 0.0, "GET", "/")
    exchange.end(Outcome.CLIENT_DISCONNECT)
    RequestLog(Log(), fd=writing).write(exchange, seconds=0.0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        assert json.loads(lines.read())["outcome"] == "client_disconnect"


@pytest.mark.slow
def test_lines_of_several_workers_never_mix() -> None:
    reading, writing = os.pipe()
    workers = [
        subprocess.Popen([sys.executable, "-c", WRITER, f"worker{number}"], stderr=writing) for number in range(4)
    ]
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines: list[dict[str, Any]] = [json.loads(line) for line in pipe]
    assert [worker.wait(timeout=60) for worker in workers] == [0] * 4
    counts = {f"worker{number}": 0 for number in range(4)}
    for line in lines:
        counts[line["request_id"]] += 1
    assert set(counts.values()) == {400}
