import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

import pytest
import uvloop

from proxy.upstream import ConnectionPool
from tests.upstream.fakes import Gateway, Handler, OpenPool, Serve, until


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test of this folder runs on both loops: uvloop is production, asyncio the reference."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts gateways."""
    async with AsyncExitStack() as stack:

        async def serve(handler: Handler) -> Gateway:
            return await stack.enter_async_context(Gateway(handler))

        yield serve


@pytest.fixture
async def open_pool(serve: Serve) -> AsyncIterator[OpenPool]:
    """Opens pools, and sees that no test leaves a connection, a request in line or an upload behind."""
    pools: list[ConnectionPool] = []

    def open_pool(
        gateway: Gateway,
        *,
        max_connections: int = 64,
        max_idle: int = 64,
        max_waiting: int = 64,
        keep_alive: float = 60.0,
    ) -> ConnectionPool:
        pool = ConnectionPool(
            "127.0.0.1",
            gateway.port,
            max_connections=max_connections,
            max_idle=max_idle,
            max_waiting=max_waiting,
            keep_alive=keep_alive,
        )
        pools.append(pool)
        return pool

    yield open_pool
    for pool in pools:
        pool.close()
    await until(lambda: not any(pool.open or pool.waiting for pool in pools))
    await until(lambda: not any("Upload" in repr(task) for task in asyncio.all_tasks()))
