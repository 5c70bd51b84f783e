"""Redis that is there and does not reply: no call hangs, nothing piles up, and no late reply reaches the wrong caller.

A frozen server is the worst case: connections stay open and even new ones are accepted by the kernel.
"""

import asyncio
from pathlib import Path

import pytest

from middlewares.store import Call, Script, StoreTimeout, StoreUnavailable
from proxy.store.breaker import BreakerState
from proxy.store.channel import Channel
from proxy.store.node import NodeChange
from proxy.store.store import Store
from tests.store.conftest import OpenChannel, StartServer, dialer, run
from tests.store.servers import WITHIN, bundled, eventually

pytestmark = pytest.mark.usefixtures("nothing_left")

ECHO = Script("echo", b"return ARGV[1]")
COUNT = Script("count", b"return redis.call('INCR', KEYS[1])")


async def failures(channel: Channel, count: int, deadline: float) -> list[StoreUnavailable]:
    """What each of `count` calls of one moment ends with; none may be answered."""
    async with asyncio.timeout(WITHIN):
        calls = [run(channel, Call(ECHO, (), (n,)), deadline) for n in range(count)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, StoreUnavailable) for end in ends)
    return [end for end in ends if isinstance(end, StoreUnavailable)]


async def test_every_call_ends_at_its_own_deadline(start_server: StartServer, open_channel: OpenChannel) -> None:
    server = start_server()
    channel = await open_channel(server, stall=30)
    server.freeze()
    ended: list[float] = []

    async def call(deadline: float) -> None:
        with pytest.raises(StoreTimeout, match="did not reply in time") as caught:
            await run(channel, Call(ECHO, (), (1,)), deadline)
        assert caught.value.may_have_run
        ended.append(deadline)

    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*(call(deadline) for deadline in (0.3, 0.1, 0.4, 0.2)))
    assert ended == [0.1, 0.2, 0.3, 0.4]
    server.thaw()


async def test_late_replies_reach_nobody(start_server: StartServer, open_channel: OpenChannel) -> None:
    server = start_server()
    channel = await open_channel(server, stall=30)
    server.freeze()
    assert len(await failures(channel, 500, 0.05)) == 500
    waiting = [asyncio.create_task(run(channel, Call(ECHO, (), (f"late {n}",)), WITHIN)) for n in range(500)]
    await asyncio.sleep(0)
    server.thaw()
    assert await asyncio.gather(*waiting) == [b"late %d" % n for n in range(500)]


async def test_a_stalled_connection_is_given_up_and_everything_waiting_on_it_fails(
    start_server: StartServer, open_channel: OpenChannel
) -> None:
    server = start_server()
    channel = await open_channel(server, stall=0.2)
    server.freeze()
    ends = await failures(channel, 100, WITHIN)
    assert {str(end) for end in ends} == {f"Redis at {server.endpoint} has not replied for 0.2 s"}
    assert all(end.may_have_run for end in ends)
    assert len(await failures(channel, 100, WITHIN)) == 100  # not connected: they fail without waiting
    server.thaw()
    await channel.ready(WITHIN)
    assert await run(channel, Call(ECHO, (), (1,)), WITHIN) == b"1"


async def test_a_stall_is_noticed_long_before_a_late_deadline(start_server: StartServer) -> None:
    server = start_server()
    connection, _ = await dialer(timeout=0.2, stall=0.1).dial(server.endpoint)
    await asyncio.sleep(0.3)  # the timer of the greeting is gone
    server.freeze()
    with pytest.raises(StoreUnavailable, match=r"has not replied for 0\.1 s"):
        async with asyncio.timeout(WITHIN):
            await connection.call(("PING",), 1_000)
    server.thaw()


async def test_a_slow_answer_is_a_timeout_and_the_connection_stays(
    start_server: StartServer, open_channel: OpenChannel, tmp_path: Path
) -> None:
    server = start_server(binary=bundled(tmp_path))  # newer ones forbid DEBUG
    lost: list[None] = []
    channel = await open_channel(server, stall=WITHIN, on_new_server=lambda: lost.append(None))
    busy = channel.call(("DEBUG", "SLEEP", "0.5"), WITHIN)
    assert len(await failures(channel, 10, 0.1)) == 10
    assert await busy == b"OK"
    assert await run(channel, Call(ECHO, (), (1,)), WITHIN) == b"1"
    assert not lost


async def test_a_script_that_runs_too_long_makes_the_node_unavailable_not_the_caller_wrong(
    binary: str, start_server: StartServer, open_channel: OpenChannel
) -> None:
    server = start_server("--lua-time-limit", "10", binary=binary)
    channel, other = await open_channel(server, stall=WITHIN), await open_channel(server)
    endless = asyncio.create_task(run(channel, Call(Script("endless", b"while true do end")), WITHIN))

    async def busy() -> bool:
        try:
            await run(other, Call(ECHO, (), (1,)), WITHIN)
        except StoreUnavailable as error:
            return "BUSY" in str(error)
        return False

    await eventually(busy)
    await other.call(("SCRIPT", "KILL"), WITHIN)
    with pytest.raises(Exception, match="killed by user"):
        await endless


@pytest.mark.ci
async def test_the_store_comes_back_by_itself_and_says_so_once(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    changes: list[NodeChange] = []
    async with await Store.open(server.url, tmp_path, deadline=0.05, on_state=changes.append) as store:
        for _ in range(3):
            server.freeze()

            async def refused() -> bool:
                try:
                    await store.run(Call(COUNT, ("k",)))
                except StoreUnavailable:
                    return store.state is BreakerState.OPEN
                return False

            async def served() -> bool:
                try:
                    return bool(await store.run(Call(COUNT, ("k",))))
                except StoreUnavailable:
                    return False

            await eventually(refused)
            server.thaw()
            await eventually(served, within=5)
    assert [change.state for change in changes] == [BreakerState.OPEN, BreakerState.CLOSED] * 3
