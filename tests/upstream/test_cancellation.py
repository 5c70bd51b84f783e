"""Whatever is cancelled, at whatever point: the gateway is told at once, and nothing is left behind."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.upstream import ConnectionPool, Response, ResponseTruncated
from tests.upstream.corpus import OK
from tests.upstream.fakes import (
    HOST,
    PATIENT,
    Gateway,
    OpenPool,
    Reader,
    Serve,
    Writer,
    always_ok,
    get,
    read,
    read_body,
    read_head,
    until,
)


def sockets() -> int:
    return sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") for fd in _open_fds())


def _open_fds() -> list[str]:
    # The descriptor of the listing itself is in the list, and closed by now.
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]


async def cancelled(task: asyncio.Task[Response] | asyncio.Task[bytes]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Silent:
    """A gateway that reads, says what it was given to say, and knows when its client has left."""

    def __init__(self, says: bytes = b"") -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self._says = says

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(self._says)
        self.asked.set()
        try:
            while await reader.read(65536):
                pass
        finally:
            self.left.set()


async def test_while_waiting_for_the_head(serve: Serve, open_pool: OpenPool) -> None:
    gateway = Silent()
    pool = open_pool(await serve(gateway))
    task = asyncio.create_task(get(pool))
    await gateway.asked.wait()
    await cancelled(task)
    await gateway.left.wait()
    await until(lambda: pool.open == 0)


async def test_while_waiting_for_a_chunk(serve: Serve, open_pool: OpenPool) -> None:
    gateway = Silent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    pool = open_pool(await serve(gateway))
    response = await get(pool)
    assert await response.chunk() == b"half"
    task = asyncio.create_task(response.chunk())
    await asyncio.sleep(0)
    await cancelled(task)
    await gateway.left.wait()
    await until(lambda: pool.open == 0)
    with pytest.raises(ResponseTruncated, match="closed before its end"):
        await response.chunk()


async def test_while_uploading(serve: Serve, open_pool: OpenPool) -> None:
    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
                await asyncio.sleep(0)
        finally:
            closed.set()

    closed = asyncio.Event()
    gateway = Silent()
    pool = open_pool(await serve(gateway))
    task = asyncio.create_task(pool.send(b"POST", b"/", HOST, source(), timeouts=PATIENT))
    await gateway.asked.wait()
    await cancelled(task)
    await gateway.left.wait()
    await closed.wait()
    await until(lambda: pool.open == 0)


async def test_while_in_line(serve: Serve, open_pool: OpenPool) -> None:
    gateway = Silent()
    pool = open_pool(await serve(gateway), max_connections=1)
    first = asyncio.create_task(get(pool))
    await gateway.asked.wait()
    second = asyncio.create_task(get(pool))
    await until(lambda: pool.waiting == 1)
    await cancelled(second)
    assert (pool.waiting, pool.in_use) == (0, 1)
    await cancelled(first)


async def test_in_the_moment_of_being_handed_a_connection(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await read_head(reader)
            await answer.wait()
            writer.write(OK)

    async def get_and_cancel_the_next() -> Response:
        response = await get(pool)
        assert pool.waiting == 2  # the next one has the connection by now, and has not run yet
        waiting[0].cancel()
        return response

    answer = asyncio.Event()
    gateway = await serve(handler)
    pool = open_pool(gateway, max_connections=1)
    first = asyncio.create_task(get_and_cancel_the_next())
    await until(lambda: gateway.connected == 1)
    waiting = [asyncio.create_task(get(pool)) for _ in range(3)]
    await until(lambda: pool.waiting == 3)
    answer.set()
    assert (await first).complete
    assert [r.complete for r in await asyncio.gather(*waiting[1:])] == [True, True]
    await cancelled(waiting[0])
    assert (gateway.accepted, pool.open, pool.idle) == (1, 1, 1)


async def test_in_the_moment_of_being_handed_a_free_place(serve: Serve, open_pool: OpenPool) -> None:
    gateway = await serve(Silent())
    pool = open_pool(gateway, max_connections=1)
    first = asyncio.create_task(get(pool))
    await until(lambda: gateway.connected == 1)
    second, third = asyncio.create_task(get(pool)), asyncio.create_task(get(pool))
    await until(lambda: pool.waiting == 2)
    first.cancel()
    await until(lambda: pool.waiting == 1)
    await cancelled(second)
    await until(lambda: gateway.accepted >= 2 and pool.waiting == 0)
    assert pool.open == 1
    await cancelled(third)


async def test_a_response_closed_by_its_reader(serve: Serve, open_pool: OpenPool) -> None:
    gateway = Silent(b"HTTP/1.1 200 OK\r\n\r\nendless")
    pool = open_pool(await serve(gateway))
    with await get(pool) as response:
        assert await response.chunk() == b"endless"
    await gateway.left.wait()
    await until(lambda: pool.open == 0)
    response.close()


async def test_closing_a_complete_response_keeps_its_connection(serve: Serve, open_pool: OpenPool) -> None:
    pool = open_pool(await serve(always_ok))
    for _ in range(2):
        with await get(pool) as response:
            assert response.complete
    assert (pool.open, pool.idle) == (1, 1)


async def test_a_second_reader_is_refused_and_the_first_goes_on(serve: Serve, open_pool: OpenPool) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await go.wait()
        writer.write(b"late")
        await reader.read()

    go = asyncio.Event()
    response = await get(open_pool(await serve(handler)))
    first = asyncio.create_task(response.chunk())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one reader"):
        await response.chunk()
    go.set()
    assert await first == b"late"


@pytest.mark.slow
async def test_hundreds_of_cancellations_leave_no_task_and_no_socket(serve: Serve, open_pool: OpenPool) -> None:
    """Cuts at every number of loop rounds, through connecting, waiting in line, uploading and reading."""

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await read_body(reader, await read_head(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                await asyncio.sleep(0)
                writer.write(b"4\r\npart\r\n")
            writer.write(b"0\r\n\r\n")

    async def source() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"part"
            await asyncio.sleep(0)

    async def exchange(pool: ConnectionPool, body: Callable[[], AsyncIterator[bytes] | None]) -> None:
        await read(await pool.send(b"POST", b"/", HOST, body(), timeouts=PATIENT))

    gateway: Gateway = await serve(handler)
    tasks, before = asyncio.all_tasks(), sockets()
    pool = open_pool(gateway, max_connections=4)
    rounds = random.Random(0)
    for _ in range(100):
        batch = [asyncio.create_task(exchange(pool, rounds.choice([source, lambda: None]))) for _ in range(6)]
        for task in batch:
            for _ in range(rounds.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*batch, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert pool.open <= 4
    await exchange(pool, source)
    assert (pool.waiting, pool.in_use) == (0, 0)
    pool.close()
    await until(lambda: pool.open == 0 and gateway.connected == 0)
    await until(lambda: asyncio.all_tasks() == tasks and sockets() == before)
