"""What the ledger says of live streams, over a real Redis that is empty for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.mock_gateway import MockGateway
from proxy.store.store import Store
from tests.ledger.redis_time import Clocked
from tests.live.assertions import LedgerView
from tests.live.byoc_worker import Worker
from tests.support.redis_fixtures import clocked, redis_server, store

__all__ = ["clocked", "ledger_view", "redis_server", "store"]


@pytest.fixture
def ledger_view(store: Store, clocked: Clocked, tmp_path: Path) -> LedgerView:
    """What the ledger says, and whether it adds up."""
    return LedgerView(store, clocked, RedisKeys(4, cluster=False), tmp_path)


@pytest.fixture
async def worker(ledger_view: LedgerView, tmp_path: Path, gateway: MockGateway) -> AsyncIterator[Worker]:
    """A worker in front of the `gateway` of the test's module."""
    made = Worker(ledger_view, tmp_path / "one", gateway.url)
    yield made
    await made.close()
