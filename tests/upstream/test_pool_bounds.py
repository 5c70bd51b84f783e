"""The pool never holds more sockets, nor lets more requests wait, nor longer, than it was told."""

import asyncio
from typing import Any

import pytest

from proxy.upstream import ConnectFailed, ConnectionDropped, ConnectionPool, PoolExhausted
from proxy.upstream.connection import UpstreamConnection
from tests.upstream.corpus import OK
from tests.upstream.fakes import (
    PATIENT,
    Handler,
    OpenPool,
    Reader,
    Serve,
    Writer,
    always_ok,
    answering,
    get,
    read,
    read_head,
    until,
)


def gated(go: asyncio.Event) -> Handler:
    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await read_head(reader)
            await go.wait()
            writer.write(OK)

    return handler


async def body(pool: ConnectionPool) -> bytes:
    return await read(await get(pool))


async def test_connections_are_bounded_and_the_rest_wait_their_turn(serve: Serve, open_pool: OpenPool) -> None:
    go = asyncio.Event()
    gateway = await serve(gated(go))
    pool = open_pool(gateway, max_connections=3)
    requests = [asyncio.create_task(get(pool)) for _ in range(20)]
    await until(lambda: gateway.accepted == 3 and pool.waiting == 17)
    assert (pool.open, pool.in_use, pool.idle) == (3, 3, 0)
    go.set()
    assert all(response.complete for response in await asyncio.gather(*requests))
    assert (gateway.accepted, pool.open, pool.in_use, pool.idle, pool.waiting) == (3, 3, 0, 3, 0)


async def test_turns_come_in_the_order_of_asking(serve: Serve, open_pool: OpenPool) -> None:
    order: list[int] = []

    async def numbered(number: int) -> None:
        await get(pool)
        order.append(number)

    go = asyncio.Event()
    pool = open_pool(await serve(gated(go)), max_connections=1)
    requests = []
    for number in range(10):
        requests.append(asyncio.create_task(numbered(number)))
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*requests)
    assert order == list(range(10))


async def test_a_full_line_refuses_at_once(serve: Serve, open_pool: OpenPool) -> None:
    go = asyncio.Event()
    pool = open_pool(await serve(gated(go)), max_connections=1, max_waiting=2)
    requests = [asyncio.create_task(get(pool)) for _ in range(3)]
    await until(lambda: pool.waiting == 2)
    with pytest.raises(PoolExhausted, match="all 1 connections are in use and the queue is full") as refusal:
        await get(pool)
    assert not refusal.value.request_sent
    assert pool.waiting == 2
    go.set()
    await asyncio.gather(*requests)


async def test_a_long_wait_ends(serve: Serve, open_pool: OpenPool) -> None:
    go = asyncio.Event()
    pool = open_pool(await serve(gated(go)), max_connections=1)
    first = asyncio.create_task(get(pool))
    await until(lambda: pool.open == 1)
    with pytest.raises(PoolExhausted, match=r"no connection became free within 0\.02 s"):
        await get(pool, timeouts=PATIENT._replace(queue=0.02))
    assert pool.waiting == 0
    go.set()
    assert (await first).complete


async def test_the_place_of_a_lost_connection_goes_to_the_next_in_line(serve: Serve, open_pool: OpenPool) -> None:
    gateway = await serve(answering(b"HTTP/1.1 200 OK\r\n\r\nclosed after", close=True))
    pool = open_pool(gateway, max_connections=1)
    bodies = await asyncio.gather(*[body(pool) for _ in range(5)])
    assert bodies == [b"closed after"] * 5
    assert gateway.accepted == 5


async def test_a_place_is_free_again_after_every_kind_of_failure(serve: Serve, open_pool: OpenPool) -> None:
    async def drop(reader: Reader, writer: Writer) -> None:
        await read_head(reader)

    pool = open_pool(await serve(drop), max_connections=1)
    for _ in range(5):
        with pytest.raises(ConnectionDropped):
            await get(pool, timeouts=PATIENT._replace(queue=20))
    await until(lambda: pool.open == 0)


async def test_refused_connections_free_their_place_for_those_in_line(serve: Serve, open_pool: OpenPool) -> None:
    gateway = await serve(always_ok)
    await gateway.__aexit__()
    pool = open_pool(gateway, max_connections=1)
    results = await asyncio.gather(*[get(pool) for _ in range(5)], return_exceptions=True)
    assert [type(result) for result in results] == [ConnectFailed] * 5
    assert (pool.open, pool.waiting) == (0, 0)


async def test_a_connection_lost_in_the_moment_of_being_handed_over(
    serve: Serve, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next in line was given it, and finds it closed: it goes on to another and sends nothing twice."""
    made: list[UpstreamConnection] = []

    def make(*args: Any, **options: Any) -> UpstreamConnection:
        made.append(UpstreamConnection(*args, **options))
        return made[-1]

    monkeypatch.setattr("proxy.upstream.pool.UpstreamConnection", make)

    async def get_and_lose_the_connection() -> None:
        assert (await get(pool)).complete
        assert pool.waiting == 0  # the next one has the connection by now, and has not run yet
        made[0].abort()  # no gateway can be timed that exactly

    go = asyncio.Event()
    gateway = await serve(gated(go))
    pool = open_pool(gateway, max_connections=1)
    first = asyncio.create_task(get_and_lose_the_connection())
    await until(lambda: gateway.accepted == 1)
    second = asyncio.create_task(body(pool))
    await until(lambda: pool.waiting == 1)
    go.set()
    await first
    assert await second == b"hi"
    assert (gateway.accepted, pool.open, pool.idle) == (2, 1, 1)


async def test_idle_connections_are_bounded(serve: Serve, open_pool: OpenPool) -> None:
    go = asyncio.Event()
    gateway = await serve(gated(go))
    pool = open_pool(gateway, max_connections=10, max_idle=2)
    requests = [asyncio.create_task(get(pool)) for _ in range(10)]
    await until(lambda: gateway.accepted == 10)
    go.set()
    await asyncio.gather(*requests)
    await until(lambda: pool.open == 2)
    assert (pool.idle, pool.in_use) == (2, 0)


async def test_a_closed_pool_finishes_what_it_has_and_takes_nothing_new(serve: Serve, open_pool: OpenPool) -> None:
    go = asyncio.Event()
    gateway = await serve(gated(go))
    pool = open_pool(gateway, max_connections=2)
    go.set()
    await asyncio.gather(get(pool), get(pool))
    go.clear()
    running = asyncio.create_task(get(pool))
    await until(lambda: pool.in_use == 1)
    other = asyncio.create_task(get(pool))
    await until(lambda: pool.in_use == 2)
    waiting = asyncio.create_task(get(pool))
    await until(lambda: pool.waiting == 1)
    pool.close()
    with pytest.raises(PoolExhausted, match="closed"):
        await waiting
    with pytest.raises(PoolExhausted, match="closed"):
        await get(pool)
    go.set()
    assert [await read(await task) for task in (running, other)] == [b"hi", b"hi"]
    await until(lambda: pool.open == 0)
