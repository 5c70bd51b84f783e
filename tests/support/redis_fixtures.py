"""One real Redis for the tests of a package, which is empty for each of them, and a store over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.store.store import Store
from tests.ledger.redis_time import NEW_YEAR, Clocked
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
    async with await Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30) as opened:
        await opened.redis.flushall()
        yield opened


@pytest.fixture
def clocked(store: Store) -> Clocked:
    """The store, at a time of the test's choosing."""
    return Clocked(store, NEW_YEAR)
