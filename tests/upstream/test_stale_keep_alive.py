"""An idle connection belongs to the gateway as much as to us: it may end, speak or age."""

import asyncio

import pytest

from tests.upstream.corpus import OK
from tests.upstream.fakes import OpenPool, Reader, Serve, Writer, always_ok, get, read, read_head, until


async def test_a_connection_that_the_gateway_closed_is_not_reused(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(OK)
        await leave.wait()

    leave = asyncio.Event()
    gateway = await serve(handler)
    pool = open_pool(gateway)
    assert (await get(pool)).complete
    assert pool.idle == 1
    leave.set()
    await until(lambda: pool.open == 0)
    assert pool.idle == 0
    assert (await get(pool)).complete
    assert gateway.accepted == 2


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n", b"\r\n", b"x"])
async def test_an_answer_to_nothing_never_answers_the_next_request(
    serve: Serve, open_pool: OpenPool, unasked: bytes
) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(OK)
        await speak.wait()
        writer.write(unasked)
        await reader.read()

    speak = asyncio.Event()
    gateway = await serve(handler)
    pool = open_pool(gateway)
    assert (await get(pool)).complete
    speak.set()
    await until(lambda: pool.open == 0)
    response = await get(pool)
    assert (response.status, await read(response), gateway.accepted) == (200, b"hi", 2)


async def test_an_idle_connection_ages_out_by_itself(serve: Serve, open_pool: OpenPool) -> None:
    gateway = await serve(always_ok)
    pool = open_pool(gateway, keep_alive=0.05)
    for expected in (1, 2):
        assert (await get(pool)).complete
        assert (gateway.accepted, pool.idle) == (expected, 1)
        await until(lambda: pool.open == 0)
    await until(lambda: gateway.connected == 0)


async def test_the_connection_used_last_is_used_first(serve: Serve, open_pool: OpenPool) -> None:
    """So that the connections of a burst can age while a trickle goes on."""
    ports = []

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await read_head(reader)
            ports.append(writer.get_extra_info("peername")[1])
            await go.wait()
            writer.write(OK)

    go = asyncio.Event()
    pool = open_pool(await serve(handler))
    burst = [asyncio.create_task(get(pool)) for _ in range(5)]
    await until(lambda: len(ports) == 5)
    go.set()
    await asyncio.gather(*burst)
    ports.clear()
    for _ in range(10):
        await get(pool)
    assert len(set(ports)) == 1
    assert pool.idle == 5
