"""Servers that stop with their test, and the proof that nothing is left of it."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from middlewares.store import Call
from proxy.store.address import Credentials
from proxy.store.channel import Channel, fixed
from proxy.store.connection import Reply
from proxy.store.dial import Dialer
from tests.store.servers import WITHIN, RedisServer, binaries, bundled, eventually, processes_of

StartServer = Callable[..., RedisServer]
OpenChannel = Callable[..., Awaitable[Channel]]


NOBODY = Credentials()


async def run(channel: Channel, call: Call, deadline: float) -> Reply:
    """Wait for the reply of one call; nobody counts how it went."""
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    channel.submit(call, reply, deadline, lambda _write, _error: None)
    return await reply


uvloop.new_event_loop().close()  # the first loop opens a pipe that stays as long as the process


def dialer(
    login: Credentials = NOBODY, *, db: int = 0, timeout: float = 1.0, stall: float = 1.0, max_pending: int = 16_384
) -> Dialer:
    """A dialer without TLS."""
    return Dialer(login, db, None, timeout, stall, max_pending)


@pytest.fixture
async def nothing_left(tmp_path: Path) -> AsyncIterator[None]:
    """After the test: no process works in its folder, and no task and no descriptor of ours is open."""
    tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    gc.freeze()  # what was there before is not searched
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


@contextmanager
def servers_in(folder: Path) -> Iterator[StartServer]:
    """Starts servers (with the first program found, unless told otherwise); all of them end with the context."""
    servers: list[RedisServer] = []

    def start(*options: str, binary: str | None = None, tcp: bool = False) -> RedisServer:
        servers.append(RedisServer(binary or binaries(folder)[0], folder / f"server{len(servers)}", *options, tcp=tcp))
        return servers[-1].start()

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def start_server(tmp_path: Path, nothing_left: None) -> Iterator[StartServer]:
    """Starts servers that end with the test."""
    with servers_in(tmp_path) as start:
        yield start


@pytest.fixture
async def open_channel(nothing_left: None) -> AsyncIterator[OpenChannel]:
    """Opens channels to servers; all of them close with the test."""
    channels: list[Channel] = []

    async def open_one(
        server: RedisServer,
        *,
        login: Credentials = NOBODY,
        db: int = 0,
        stall: float = 1.0,
        max_pending: int = 16_384,
        on_new_server: Callable[[], None] = lambda: None,
    ) -> Channel:
        how = dialer(login, db=db, stall=stall, max_pending=max_pending)
        channels.append(Channel(fixed(server.endpoint), how, on_new_server))
        channels[-1].start()
        await channels[-1].ready(WITHIN)
        return channels[-1]

    yield open_one
    for channel in channels:
        await channel.close()
