"""A long campaign of `kill -9` against the embedded Redis, its supervisor, or both, while three stores use it."""

import asyncio
import random
from pathlib import Path

import psutil
import pytest

from middlewares.store import Call, Script, StoreUnavailable
from proxy.store.store import Store
from tests.store.servers import eventually, processes_of

pytestmark = pytest.mark.usefixtures("nothing_left")

COUNT = Script("count", b"return redis.call('INCR', KEYS[1])")
ROUNDS = 200


@pytest.mark.soak
async def test_no_kill_loses_an_acknowledged_write_or_makes_a_second_server(tmp_path: Path) -> None:
    replies: list[int] = []
    done, maybe = False, 0

    async def client(store: Store) -> None:
        nonlocal maybe
        while not done:
            try:
                replies.append(await store.run(Call(COUNT, ("k",))))
            except StoreUnavailable as error:
                maybe += error.may_have_run
            await asyncio.sleep(0.002)

    stores = [await Store.open(None, tmp_path) for _ in range(3)]
    clients = [asyncio.create_task(client(store)) for store in stores]
    for _ in range(ROUNDS):
        await asyncio.sleep(random.uniform(0, 0.3))
        running = processes_of(tmp_path)
        assert sum(process.name() == "redis-server" for process in running) <= 1
        for process in random.sample(running, random.randint(0, len(running))):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        before = len(replies)
        await eventually(lambda n=before: len(replies) > n, within=5)  # type: ignore[misc]
    done = True
    await asyncio.gather(*clients)
    for store in stores:
        await store.close()
    assert len(set(replies)) == len(replies)
    assert max(replies) <= len(replies) + maybe
