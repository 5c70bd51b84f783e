"""One real Redis for the placements of all workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.servers import RedisServer, binaries


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(binaries(tmp_path)[0], tmp_path / "redis").start()
    yield server
    server.kill()
