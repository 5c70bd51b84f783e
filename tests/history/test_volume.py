"""Millions of events: how fast they are archived, what Redis has left, and how long a month of one app takes."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from config.history import HistorySettings
from config.workloads import Unit
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import ENCODER, Event
from proxy.history import queries
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.dates import month_of
from proxy.reporting.totals import Dimension, read_usage
from proxy.server.background.archiver import GC_THRESHOLDS
from proxy.store.store import Store
from tests.benchmarks import nginx
from tests.benchmarks.programs import Missing
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.wrk import saturate
from tests.history.fakes import NOW, Archive, event
from tests.reporting.ledger_fixture import milliseconds, utc

MEGABYTE = 1_000_000
EVENTS = int(os.environ.get("HISTORY_EVENTS", "5000000"))
TAGS = 16


def usual(number: int, apps: int) -> Event:
    """Return an event such as a chat leaves, on some day of November 2026."""
    units = {Unit.REQUESTS: 1, Unit.INPUT_TOKENS: 900, Unit.OUTPUT_TOKENS: number % 4_000, Unit.MILLISECONDS: 1_800}
    return event(
        f"app_{number % apps}",
        user=f"user-{number % 40}",
        key="zrm5qrxjycg72sjf",
        time=milliseconds(utc("2026-11-01T00:00")) + number * 37 % (29 * 86_400_000),
        plan="standard@0fe2bafd",
        model="meta-llama/Meta-Llama-3.1-8B-Instruct",
        units=units,
        provenance=dict.fromkeys(units, "upstream"),
        gateway_status=200,
        finish_reason="stop",
        gateway="http://127.0.0.1:9935",
        tier="standard",
        duration_ms=1_800,
        upstream_ms=20,
        bytes_in=900,
        bytes_out=9_000,
    )


async def fill(archive: Archive, first: int, count: int, apps: int) -> None:
    """Write events to their streams, without totals."""
    for start in range(first, first + count, 5_000):
        pipe = archive.client.pipeline(transaction=False)
        for number in range(start, min(start + 5_000, first + count)):
            each = usual(number, apps)
            pipe.xadd(archive.stream(each.app), {"event": ENCODER.encode(each), "amount": str(number)})
        await pipe.execute()


async def memory(client: Any) -> int:
    """Return the bytes that Redis uses."""
    return int((await client.info("memory"))["used_memory"])


async def produced_a_second(folder: Path) -> float:
    """Return how many events a second one worker of the whole product can produce, archiver and all beside it."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(nginx.static(folder / "upstream"))
        ours = await stack.enter_async_context(running_tollgate(folder / "one", upstream))
        rates = [(await saturate(ours.candidate, 32, 5, folder)).metrics["requests/s"] for _ in range(3)]
    return max(rates)


async def archived_a_second(archive: Archive, first: int, count: int) -> float:
    """Return how many events a second are archived and trimmed."""
    await fill(archive, first, count, apps=50)
    began = time.perf_counter()
    assert await archive.advance(NOW)
    return count / (time.perf_counter() - began)


@contextmanager
def figure() -> Iterator[None]:
    """Show what is printed also when pytest captures it."""
    with os.fdopen(os.dup(2), "w") as out:
        former, sys.stdout = sys.stdout, out
        try:
            yield
        finally:
            sys.stdout = former


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_millions_go_through(store: Store, history: History, tmp_path: Path) -> None:
    keys = RedisKeys(TAGS, cluster=False)
    archive = Archive(store.redis, keys, history)
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        produced = await produced_a_second(tmp_path)
    except Missing as missing:
        pytest.skip(str(missing))
    assert await archive.advance(NOW)
    before, rates, done = await memory(store.redis), [], 0
    while done < EVENTS:
        count = min(250_000, EVENTS - done)
        rates.append(await archived_a_second(archive, done, count))
        done += count
    left = await memory(store.redis) - before
    archived = statistics.median(rates)
    with figure():
        print(
            f"\n{history.dialect}: {done} events, {archived:.0f}/s archived (slowest {min(rates):.0f}/s), "
            f"{produced:.0f}/s produced by one worker, ratio {archived / produced:.1f}; "
            f"Redis has {left / MEGABYTE:.1f} MB more than before"
        )
    assert left < 64 * MEGABYTE
    assert archived >= 3 * produced


async def month_of_one_app(sources: LedgerSources) -> float:
    """Return the seconds that a month's usage takes where nothing else of the machine disturbs it."""
    taken = []
    for _ in range(40):
        began = time.perf_counter()
        usage = await read_usage(sources, "app_mine", month_of(date(2026, 11, 1)), [Dimension.DAY, Dimension.USER])
        taken.append(time.perf_counter() - began)
        assert usage.total.requests == 2_000
    return min(taken)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_month_takes_no_longer_with_ten_times_the_history_of_others(store: Store, history: History) -> None:
    archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
    settings = HistorySettings(keep_in_redis_seconds=0)
    for number in range(2_000):
        each = usual(number, 1)
        each.app = "app_mine"
        await archive.client.xadd(archive.stream("app_mine"), {"event": ENCODER.encode(each), "amount": "1"})
    others = max(20_000, EVENTS // 50)
    await fill(archive, 10_000, others, apps=200)
    assert await archive.advance(settings)
    once = await month_of_one_app(archive.sources)
    await fill(archive, 10_000 + others, 9 * others, apps=200)
    assert await archive.advance(settings)
    tenfold = await month_of_one_app(archive.sources)
    with figure():
        print(
            f"\n{history.dialect}: a month of one app takes {once * 1000:.1f} ms beside {others} events of others, "
            f"{tenfold * 1000:.1f} ms beside {10 * others}; ratio {tenfold / once:.2f}"
        )
    assert await history.read(queries.count) == 2_000 + 10 * others
    assert tenfold <= 1.3 * once
