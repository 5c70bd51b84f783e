"""One real Redis for the affinity tables of all workers."""

from collections.abc import Iterator

import pytest

from tests.store.servers import RedisServer, binaries


@pytest.fixture(scope="package")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(binaries(folder)[0], folder / "redis").start()
    yield server
    server.kill()
