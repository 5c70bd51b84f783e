"""Hazard: Redis fills up and refuses everything, and nobody was warned; or the warning is repeated for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from structlog.testing import capture_logs

from config.runtime import StoreSettings
from proxy.server.ledger_metrics import LedgerObserver
from proxy.store.memory_watch import RELEASE, MemoryLevel, RedisMemoryWatch, level_of
from tests.store.servers import RedisServer, binaries

LIMIT = 64 * 1024 * 1024
BLOCK = 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(binaries(tmp_path)[0], tmp_path / "redis", "--maxmemory", str(LIMIT)).start()
    yield server
    server.kill()


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis(unix_socket_path=server.endpoint.path)
    yield client
    await client.aclose()


async def fill(client: Redis, ratio: float) -> None:
    """Fill Redis to that part of its memory, or empty it as far."""
    await client.flushall()
    used = int((await client.info("memory"))["used_memory"])
    for number in range(int((ratio * LIMIT - used) / BLOCK) + 1):
        await client.setrange(f"k{number}", BLOCK - 1024, "x")


async def test_one_line_for_each_mark_up_and_down(client: Redis) -> None:
    registry = CollectorRegistry()
    watch = RedisMemoryWatch(client, StoreSettings(), LedgerObserver(registry).redis_memory, embedded=False)
    seen = []
    for ratio in (0.3, 0.8, 0.8, 0.92, 0.92, 0.8, 0.8, 0.3, 0.3):
        await fill(client, ratio)
        with capture_logs() as logs:
            for _ in range(3):
                await watch.look()
        seen.append([each["event"] for each in logs])
        assert registry.get_sample_value("tollgate_redis_memory_ratio") == pytest.approx(ratio, abs=0.04)
    up = [[], ["redis_memory_high"], [], ["redis_memory_critical"], []]
    assert seen == [*up, ["redis_memory_recovered"], [], ["redis_memory_recovered"], []]


async def test_without_maxmemory_the_machine_is_the_limit(client: Redis, server: RedisServer) -> None:
    assert server.ask("CONFIG", "SET", "maxmemory", "0").startswith("+OK")
    registry = CollectorRegistry()
    await RedisMemoryWatch(client, StoreSettings(), LedgerObserver(registry).redis_memory, embedded=False).look()
    info = await client.info("memory")
    expected = info["used_memory"] / info["total_system_memory"]
    assert registry.get_sample_value("tollgate_redis_memory_ratio") == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("wanted", [None, 32 * BLOCK])
async def test_the_embedded_one_has_a_bound_after_each_start(
    client: Redis, server: RedisServer, wanted: int | None
) -> None:
    watch = RedisMemoryWatch(
        client,
        StoreSettings(embedded_memory_bytes=wanted),
        LedgerObserver(CollectorRegistry()).redis_memory,
        embedded=True,
    )
    for _ in range(2):
        assert server.ask("CONFIG", "SET", "maxmemory", "0").startswith("+OK")
        await watch.look()
        info = await client.info("memory")
        assert info["maxmemory"] == wanted or 0 < info["maxmemory"] <= 0.75 * info["total_system_memory"]


@given(st.lists(st.floats(0, 1.2)), st.floats(0.1, 0.8))
def test_a_level_is_left_only_well_below_its_mark(ratios: list[float], high: float) -> None:
    critical, level = high + 0.15, MemoryLevel.NORMAL
    for ratio in ratios:
        before, level = level, level_of(ratio, level, high, critical)
        assert (level is MemoryLevel.CRITICAL) >= (ratio >= critical)
        assert (level is not MemoryLevel.NORMAL) >= (ratio >= high)
        if before is MemoryLevel.CRITICAL and level is not before:
            assert ratio < critical - RELEASE
        if before is not MemoryLevel.NORMAL and level is MemoryLevel.NORMAL:
            assert ratio < high - RELEASE
