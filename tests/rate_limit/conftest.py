"""A worker's ledger over a real Redis, at a time of the test's choosing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from tests.ledger.redis_time import Clocked, ClockOf
from tests.ledger.worker_ledger import WorkerLedger
from tests.support.redis_fixtures import clocked, redis_server, store

__all__ = ["clocked", "keys", "redis_server", "store", "worker"]


@pytest.fixture
def keys() -> RedisKeys:
    return RedisKeys(1, cluster=False)


@pytest.fixture
async def worker(clocked: Clocked, keys: RedisKeys, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    async with WorkerLedger(clocked, keys, tmp_path) as opened:
        opened.ledger.clock = ClockOf(clocked)
        yield opened
