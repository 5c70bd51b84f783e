"""Redis is killed, frozen, demoted, filled up or wiped under a stream of requests: each plan does as it declares,
nobody waits longer than the deadline, and what was admitted has its event and its units exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ledger.load_run import HOLD_SECONDS, LoadRun, load_run
from tests.store.servers import DURABLE, WITHIN, RedisServer, binaries, eventually

Start = Callable[..., RedisServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[RedisServer] = []

    def start_one(*options: str) -> RedisServer:
        servers.append(RedisServer(binaries(tmp_path)[0], tmp_path / f"redis{len(servers)}", *options).start())
        return servers[-1]

    yield start_one
    for server in servers:
        server.kill()


async def audit(load: LoadRun) -> None:
    await load.end()
    await load.check()
    await load.check_events()


@pytest.mark.ci
async def test_killed_and_restarted_with_its_data(start: Start, tmp_path: Path) -> None:
    server = start(*DURABLE)
    async with load_run(server, tmp_path) as load:
        server.kill()
        await load.lost()
        server.start()
        await load.served()
        await audit(load)


@pytest.mark.ci
async def test_restarted_without_its_last_writes(start: Start, tmp_path: Path) -> None:
    """Without any of them, here: whatever was settled lately is written again."""
    server = start()
    async with load_run(server, tmp_path) as load:
        server.kill()
        await load.lost()
        server.start()
        await eventually(load.paid)
        await load.served()
        await audit(load)


@pytest.mark.ci
async def test_frozen(start: Start, tmp_path: Path) -> None:
    server = start()
    async with load_run(server, tmp_path) as load:
        server.freeze()
        await load.lost()
        server.thaw()
        await load.served()
        await audit(load)


@pytest.mark.slow
async def test_away_for_longer_than_holds_live(start: Start, tmp_path: Path) -> None:
    server = start()
    async with load_run(server, tmp_path) as load:
        server.freeze()
        await asyncio.gather(load.lost(), asyncio.sleep(2 * HOLD_SECONDS))
        server.thaw()
        await load.served()
        await audit(load)


@pytest.mark.ci
async def test_demoted_to_a_replica(start: Start, tmp_path: Path) -> None:
    server = start()
    async with load_run(server, tmp_path) as load:
        server.ask("REPLICAOF", "127.0.0.1", "1")
        await load.lost()
        server.ask("REPLICAOF", "NO", "ONE")
        await load.served()
        await audit(load)


@pytest.mark.ci
async def test_out_of_memory(start: Start, tmp_path: Path) -> None:
    server = start()
    async with load_run(server, tmp_path) as load:
        server.ask("CONFIG", "SET", "maxmemory", "1")
        await load.lost()
        server.ask("CONFIG", "SET", "maxmemory", "0")
        await load.served()
        await audit(load)


@pytest.mark.ci
async def test_scripts_flushed_all_the_time(start: Start, tmp_path: Path) -> None:
    """Nobody notices; the deadline is a long one, so that a busy machine is not taken for a lost Redis."""
    server = start()
    async with load_run(server, tmp_path, deadline=WITHIN) as load:
        for _ in range(20):
            server.ask("SCRIPT", "FLUSH")
            await load.served()
        await audit(load)
        assert [client.refused for client in load.clients.values()] == [0, 0]


async def test_wiped(start: Start, tmp_path: Path) -> None:
    """What was counted is gone. Nothing counts twice because of it, and what begins from then on is all there."""
    server = start()
    async with load_run(server, tmp_path) as load:
        server.ask("FLUSHALL")
        wiped = set(load.admitted)
        await eventually(load.paid)
        await load.served()
        await load.end()
        await load.check()
        await load.check_events(wiped=wiped)
