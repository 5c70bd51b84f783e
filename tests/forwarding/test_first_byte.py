"""The time to the first byte is the gateway's own, not that in which its connections were busy."""

import asyncio

from proxy.upstream import ConnectionPool
from tests.forwarding.fakes import forwarding, response
from tests.upstream import fakes

BUSY_SECONDS = 0.3


async def slow_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    seconds = BUSY_SECONDS
    while True:
        await fakes.read_head(reader)
        await asyncio.sleep(seconds)
        writer.write(response(b"ok"))
        seconds = 0.0


async def test_the_wait_for_a_connection_is_not_the_gateways() -> None:
    async with forwarding(slow_at_first) as opened:
        (url,) = opened.urls
        opened.pools[url] = pool = ConnectionPool("127.0.0.1", opened.gateways[0].port, max_connections=1)
        before = asyncio.create_task(opened.forward())
        await fakes.until(lambda: pool.in_use == 1)
        waited = (await opened.forward()).exchange.upstream_seconds
        first = (await before).exchange.upstream_seconds
    assert waited is not None
    assert first is not None
    assert waited < BUSY_SECONDS / 2 < first
