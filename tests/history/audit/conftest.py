"""An archive for property tests, whose examples share one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.store import History
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive
from tests.store.servers import RedisServer


@pytest.fixture
def sync_archive(
    redis_server: RedisServer, tmp_path: Path, history_url: str
) -> Iterator[tuple[asyncio.Runner, Archive]]:
    """An archive with the runner that all its work has to be done by."""
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30))
        history = History.at(history_url)
        runner.run(history.upgrade())
        yield runner, Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
        runner.run(history.close())
        runner.run(store.close())
