"""Several workers of one deployment, each with a connection and a ledger of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from middlewares.ledger.keys import Keys
from proxy.store.store import Store
from tests.ledger.desk import Desk
from tests.store.servers import RedisServer


@asynccontextmanager
async def workers(server: RedisServer, folder: Path, number: int = 4, **options: Any) -> AsyncIterator[list[Desk]]:
    """So many workers on this server; `options` as of `Desk`."""
    async with AsyncExitStack() as resources:
        desks = []
        for _ in range(number):
            store = await resources.enter_async_context(await Store.open(server.url, folder, deadline=30))
            desk = Desk(store, Keys(4, cluster=False), folder, deadline=30, workers=number, **options)
            desks.append(await resources.enter_async_context(desk))
        yield desks
