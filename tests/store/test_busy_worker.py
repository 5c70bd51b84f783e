"""Hazard: a worker that is busy for a while takes its own lateness for that of Redis, and gives up on a sound one.

On uvloop, which the workers run on: it has an order of its own for timers, reads and callbacks.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop

from middlewares.store import Call, Script
from proxy.store.store import Store
from tests.store.conftest import StartServer

pytestmark = pytest.mark.usefixtures("nothing_left")

ECHO = Script("echo", b"return ARGV[1]")
DEADLINE, BUSY = 0.05, 0.2


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 2, 3], ids=["before they leave", "when they have left", "a turn later"])
def test_calls_beside_long_work_are_answered(start_server: StartServer, tmp_path: Path, turns: int) -> None:
    server = start_server()

    async def call() -> list[Any]:
        async with await Store.open(server.url, tmp_path, deadline=DEADLINE) as store:
            assert await store.run(Call(ECHO, (), ("known from here on",)))
            calls = [asyncio.ensure_future(store.run(Call(ECHO, (), (number,)))) for number in range(100)]
            for _ in range(turns):
                await asyncio.sleep(0)
            time.sleep(BUSY)  # noqa: ASYNC251 - what a worker does that has much to do
            return await asyncio.gather(*calls)

    assert uvloop.run(call()) == [b"%d" % number for number in range(100)]
