"""Every way in which a Redis stops serving: the right error, at once or at the deadline, and back within seconds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from middlewares.store import (
    Call,
    Script,
    StoreLoading,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreTimeout,
    StoreUnavailable,
)
from proxy.store.breaker import BreakerState
from proxy.store.node import NodeChange
from proxy.store.store import Store
from tests.store.conftest import OpenChannel, StartServer, run
from tests.store.servers import DURABLE, WITHIN, RedisServer, eventually

pytestmark = pytest.mark.usefixtures("nothing_left")

COUNT = Script("count", b"return redis.call('INCR', KEYS[1])")
GET = Script("get", b"return tonumber(redis.call('GET', KEYS[1]))")


@asynccontextmanager
async def slow_road(target: str, socket: str) -> AsyncIterator[dict[str, float]]:
    """A relay from the unix socket `socket` to `target` that holds each piece for `seconds` of the yielded dict."""
    road, tasks = {"seconds": 0.0}, set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                await asyncio.sleep(road["seconds"])
                writer.write(piece)
        await leave(writer)

    async def leave(writer: asyncio.StreamWriter) -> None:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_unix_connection(target)
        except OSError:
            await leave(writer)
            return
        for way in (carry(reader, ours), carry(theirs, writer)):
            tasks.add(asyncio.create_task(way))

    async with await asyncio.start_unix_server(serve, socket):
        yield road
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Trouble:
    """A server, the way to it, and what happens to it."""

    server: RedisServer
    road: dict[str, float]

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def kill(self) -> None:
        self.server.kill()

    def restart(self) -> None:
        self.server.start()

    def slow(self) -> None:
        self.road["seconds"] = 0.25

    def fast(self) -> None:
        self.road["seconds"] = 0.0

    def demote(self) -> None:
        self.server.ask("REPLICAOF", "127.0.0.1", "1")

    def promote(self) -> None:
        self.server.ask("REPLICAOF", "NO", "ONE")

    def fill(self) -> None:
        self.server.ask("CONFIG", "SET", "maxmemory", "1")

    def empty(self) -> None:
        self.server.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hurt", "heal", "error"),
    [
        (Trouble.freeze, Trouble.thaw, StoreTimeout),
        (Trouble.kill, Trouble.restart, StoreUnavailable),
        (Trouble.slow, Trouble.fast, StoreTimeout),
        (Trouble.demote, Trouble.promote, StoreReadOnly),
        (Trouble.fill, Trouble.empty, StoreOutOfMemory),
    ],
    ids=lambda value: value.__name__,
)
async def test_under_load_every_call_ends_and_service_resumes(
    hurt: Callable[[Trouble], None],
    heal: Callable[[Trouble], None],
    error: type[StoreUnavailable],
    binary: str,
    start_server: StartServer,
    tmp_path: Path,
) -> None:
    server = start_server(*DURABLE, binary=binary)
    changes: list[NodeChange] = []
    replies: list[int] = []
    errors: set[type[StoreUnavailable]] = set()
    done, maybe = False, 0

    async with (
        slow_road(server.endpoint.path, str(tmp_path / "road")) as road,
        await Store.open(f"unix://{tmp_path}/road", tmp_path, on_state=changes.append) as store,
    ):
        trouble = Trouble(server, road)

        async def client() -> None:
            nonlocal maybe
            while not done:
                try:
                    replies.append(await store.run(Call(COUNT, ("k",))))
                except StoreUnavailable as failure:
                    errors.add(type(failure))
                    maybe += failure.may_have_run
                await asyncio.sleep(0.001)

        clients = [asyncio.create_task(client()) for _ in range(20)]
        await eventually(lambda: len(replies) > 100)
        hurt(trouble)
        await eventually(lambda: store.state is BreakerState.OPEN)
        served = len(replies)
        heal(trouble)
        await eventually(lambda: len(replies) > served + 100, within=5)
        done = True
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*clients)
        await store.health()
        counted = await store.run(Call(GET, ("k",)))
    assert error in errors
    assert [change.state for change in changes] == [BreakerState.OPEN, BreakerState.CLOSED]
    assert len(replies) == len(set(replies)), "a reply reached two callers"
    assert len(replies) <= counted <= len(replies) + maybe, "a call said that it certainly did not run, and had"


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("hurt", "heal", "error"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), StoreReadOnly),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), StoreOutOfMemory),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            StoreUnavailable,
        ),
    ],
)
async def test_a_refusal_is_named_and_nothing_ran(
    hurt: tuple[str, ...],
    heal: tuple[str, ...],
    error: type[StoreUnavailable],
    binary: str,
    start_server: StartServer,
    open_channel: OpenChannel,
) -> None:
    server = start_server(binary=binary)
    channel = await open_channel(server)
    await run(channel, Call(COUNT, ("k",)), WITHIN)
    server.ask(*hurt)
    await channel.ready(WITHIN)
    with pytest.raises(error, match=f"Redis at {server.endpoint} replied: ") as caught:
        await run(channel, Call(COUNT, ("k",)), WITHIN)
    assert type(caught.value) is error
    assert not caught.value.may_have_run
    server.ask(*heal)
    await eventually(lambda: _serves(run(channel, Call(COUNT, ("k",)), WITHIN)))
    assert await run(channel, Call(GET, ("k",)), WITHIN) == 2


@pytest.mark.ci
async def test_loading_is_named(start_server: StartServer, open_channel: OpenChannel, binary: str) -> None:
    server = start_server("--rdbcompression", "no", binary=binary)
    server.ask("EVAL", "for i = 1, 40 do redis.call('SET', i, string.rep('v', 500000)) end", "0")
    server.ask("SAVE")
    server.kill()
    server.add_options("--key-load-delay", "50000")  # microseconds; events are served every 2 MB
    server.start(wait=False)
    await eventually(lambda: bool(server.ask("PING")))
    channel = await open_channel(server)
    with pytest.raises(StoreLoading) as caught:
        await run(channel, Call(COUNT, ("k",)), WITHIN)
    assert not caught.value.may_have_run


async def test_a_kill_fails_what_was_sent_and_says_so(start_server: StartServer, open_channel: OpenChannel) -> None:
    server = start_server()
    channel = await open_channel(server, stall=WITHIN)
    server.freeze()
    sent = [asyncio.create_task(run(channel, Call(COUNT, ("k",)), WITHIN)) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    server.kill()
    ends = await asyncio.gather(*sent, return_exceptions=True)
    assert all(isinstance(end, StoreUnavailable) and end.may_have_run for end in ends)
    with pytest.raises(StoreUnavailable) as caught:
        await run(channel, Call(COUNT, ("k",)), WITHIN)
    assert not caught.value.may_have_run


async def test_a_restarted_server_is_noticed_and_a_dropped_connection_is_not(
    start_server: StartServer, open_channel: OpenChannel
) -> None:
    server = start_server()
    news: list[str] = []
    channel = await open_channel(server, on_new_server=lambda: news.append("new"))
    for hurt in (lambda: channel.drop("is dropped"), lambda: server.ask("CLIENT", "KILL", "TYPE", "normal")):
        hurt()
        await eventually(lambda: _serves(channel.ready(WITHIN)))
        await eventually(lambda: _serves(run(channel, Call(COUNT, ("k",)), WITHIN)))
    assert not news
    server.kill()
    server.start()
    await eventually(lambda: _serves(run(channel, Call(COUNT, ("k",)), WITHIN)))
    assert news == ["new"]


async def _serves(call: Awaitable[object]) -> bool:
    try:
        await call
    except StoreUnavailable:
        return False
    return True
