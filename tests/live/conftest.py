"""A real Redis of its own for each test: its totals are verified as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from middlewares.ledger.keys import Keys
from proxy.store.store import Store
from tests.ledger.harness import NEW_YEAR, Clocked
from tests.live.scene import Books
from tests.store.servers import RedisServer, binaries


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    server = RedisServer(binaries(tmp_path)[0], tmp_path / "redis").start()
    try:
        async with await Store.open(server.url, tmp_path, deadline=10) as opened:
            yield opened
    finally:
        server.kill()


@pytest.fixture
def clocked(store: Store) -> Clocked:
    """The store, at a time of the test's choosing."""
    return Clocked(store, NEW_YEAR)


@pytest.fixture
def books(store: Store, clocked: Clocked) -> Books:
    """What the ledger says, and whether it adds up."""
    return Books(store, clocked, Keys(4, cluster=False))
