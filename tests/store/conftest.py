"""Servers that stop with their test, and the proof that nothing is left of it."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.store.servers import RedisServer, binaries, bundled, eventually, processes_of

StartServer = Callable[..., RedisServer]


@pytest.fixture(autouse=True)
async def nothing_left(tmp_path: Path) -> AsyncIterator[None]:
    """After each test: no process works in its folder, and no task and no descriptor of ours is open."""
    tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    await eventually(lambda: not processes_of(tmp_path))


@pytest.fixture(params=["system", "bundled"])
def binary(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of server in turn: error replies differ between versions 6 and 7."""
    if request.param == "bundled":
        return bundled(tmp_path)
    system = binaries(tmp_path)[0]
    if system == bundled(tmp_path):
        pytest.skip("no redis-server or valkey-server on the PATH; the bundled one is tested")
    return system


@pytest.fixture
def start_server(tmp_path: Path, nothing_left: None) -> Iterator[StartServer]:
    """Starts servers (the first one found, unless told otherwise); all of them end with the test."""
    servers: list[RedisServer] = []

    def start(*options: str, binary: str | None = None, tcp: bool = False) -> RedisServer:
        folder = tmp_path / f"server{len(servers)}"
        servers.append(RedisServer(binary or binaries(tmp_path)[0], folder, *options, tcp=tcp))
        return servers[-1].start()

    yield start
    for server in servers:
        server.kill()
