"""Fixtures of the history: a Redis and a database of each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.store import History
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive
from tests.history.postgres import Postgres, binary
from tests.store.servers import DURABLE, RedisServer, binaries


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of the run; each database is of one test."""
    if binary("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres().create()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def history_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty history, on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.sqlite"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
async def history(history_url: str) -> AsyncIterator[History]:
    opened = History.at(history_url)
    await opened.upgrade()
    yield opened
    await opened.close()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(binaries(tmp_path)[0], tmp_path / "redis", *DURABLE).start()
    yield server
    server.kill()


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30) as opened:
        yield opened


@pytest.fixture
def archive(store: Store, history: History) -> Archive:
    """Redis with usage streams, and an archiver on it."""
    return Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
