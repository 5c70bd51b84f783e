"""A worker's ledger over a real Redis, at a time of the test's choosing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.redis_time import NEW_YEAR, Clocked, ClockOf
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import RedisServer, binaries


@pytest.fixture(scope="package")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(binaries(folder)[0], folder / "redis").start()
    yield server
    server.kill()


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    """Redis without a key in it."""
    async with await Store.open(redis_server.url, tmp_path, deadline=10, control_timeout=30) as opened:
        await opened.redis.flushall()
        yield opened


@pytest.fixture
def keys() -> RedisKeys:
    return RedisKeys(1, cluster=False)


@pytest.fixture
async def worker(store: Store, keys: RedisKeys, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    clocked = Clocked(store, NEW_YEAR)
    async with WorkerLedger(clocked, keys, tmp_path) as opened:
        opened.ledger.clock = ClockOf(clocked)
        yield opened
