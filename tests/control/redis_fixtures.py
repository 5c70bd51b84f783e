"""A Redis server and an open store over it, for tests of records, authentication and commands."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.store.embedded.binary import find_server
from proxy.store.store import Store
from tests.store.servers import DURABLE, RedisServer


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Yield a server that keeps its data when it is killed, in `tmp_path / "redis"`."""
    server = RedisServer(find_server(tmp_path), tmp_path / "redis", *DURABLE)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(redis_server.url, tmp_path) as opened:
        yield opened
