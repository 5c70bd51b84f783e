"""One real Redis for the tests of the ledger, and what they need on top of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.redis_time import HOLD_MS, NEW_YEAR, Clocked, ClockOf
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import RedisServer, binaries


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Shared by all tests, which keep apart by the names of their apps."""
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(binaries(folder)[0], folder / "redis").start()
    yield server
    server.kill()


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    async with await Store.open(
        redis_server.url, tmp_path_factory.getbasetemp(), deadline=10, control_timeout=30
    ) as opened:
        yield opened


@pytest.fixture
def keys() -> RedisKeys:
    return RedisKeys(4, cluster=False)


@pytest.fixture
def clocked(store: Store) -> Clocked:
    """The store, at a time of the test's choosing."""
    return Clocked(store, NEW_YEAR)


@pytest.fixture
async def worker_ledger(store: Store, clocked: Clocked, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    """A worker at that time. All of its keys are under one tag, which has no holds and no events of other tests."""
    keys = RedisKeys(1, cluster=False)
    shared = keys.shared(keys.tags[0])
    await store.redis.delete(shared.holds, shared.bodies, shared.events)
    clock = ClockOf(clocked)
    async with WorkerLedger(clocked, keys, tmp_path, hold_ttl=HOLD_MS / 1000, replay_window=0, clock=clock) as opened:
        yield opened
