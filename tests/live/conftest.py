"""What the ledger says of live streams, over a real Redis that is empty for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.redis_time import Clocked
from tests.live.assertions import LedgerView
from tests.support.redis_fixtures import clocked, redis_server, store

__all__ = ["clocked", "ledger_view", "redis_server", "store"]


@pytest.fixture
def ledger_view(store: Store, clocked: Clocked, tmp_path: Path) -> LedgerView:
    """What the ledger says, and whether it adds up."""
    return LedgerView(store, clocked, RedisKeys(4, cluster=False), tmp_path)
