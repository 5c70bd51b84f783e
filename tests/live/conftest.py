"""A real Redis, empty for each test: its totals are verified as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.redis_time import NEW_YEAR, Clocked
from tests.live.assertions import LedgerView
from tests.store.servers import RedisServer, binaries


@pytest.fixture(scope="package")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(binaries(folder)[0], folder / "redis").start()
    yield server
    server.kill()


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(redis_server.url, tmp_path, deadline=10, control_timeout=30) as opened:
        await opened.redis.flushall()
        yield opened


@pytest.fixture
def clocked(store: Store) -> Clocked:
    """The store, at a time of the test's choosing."""
    return Clocked(store, NEW_YEAR)


@pytest.fixture
def ledger_view(store: Store, clocked: Clocked, tmp_path: Path) -> LedgerView:
    """What the ledger says, and whether it adds up."""
    return LedgerView(store, clocked, RedisKeys(4, cluster=False), tmp_path)
