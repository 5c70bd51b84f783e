"""Fixtures over a Redis server of each test: recorded usage, the command line, a receiver of exports."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.store.store import Store
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage
from tests.reporting.receiver import Receiver
from tests.store.servers import RedisServer, binaries


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(binaries(tmp_path)[0], tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
async def usage_records(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[RecordedUsage]:
    async with await Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30) as store:
        opened = RecordedUsage(store, tmp_path)
        yield opened
        await opened.ledger.drain()
        opened.ledger.close()
        await opened.history.close()


@pytest.fixture
def tollgate(redis_server: RedisServer, tmp_path: Path) -> Command:
    return Command(tmp_path, redis_server.url)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    started = await Receiver().start()
    yield started
    await started.stop()
