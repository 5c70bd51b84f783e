"""One real Redis for the tests of the ledger, and what they need on top of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.redis_time import HOLD_MS, Clocked, ClockOf
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import RedisServer
from tests.support.redis_fixtures import clocked, redis_server

__all__ = ["clocked", "keys", "redis_server", "store", "worker_ledger"]


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """Redis as the tests before have left it: tests keep apart by the names of their apps."""
    async with await Store.open(
        redis_server.url, tmp_path_factory.getbasetemp(), deadline=30, control_timeout=30
    ) as opened:
        yield opened


@pytest.fixture
def keys() -> RedisKeys:
    return RedisKeys(4, cluster=False)


@pytest.fixture
async def worker_ledger(store: Store, clocked: Clocked, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    """A worker at that time. All of its keys are under one tag, which has no holds and no events of other tests."""
    keys = RedisKeys(1, cluster=False)
    shared = keys.shared(keys.tags[0])
    await store.redis.delete(shared.holds, shared.bodies, shared.events)
    clock = ClockOf(clocked)
    async with WorkerLedger(clocked, keys, tmp_path, hold_ttl=HOLD_MS / 1000, replay_window=0, clock=clock) as opened:
        yield opened
