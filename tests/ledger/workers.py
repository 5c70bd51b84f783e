"""Several workers of one deployment, each with a connection and a ledger of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import RedisServer


@asynccontextmanager
async def workers(
    server: RedisServer, folder: Path, number: int = 4, **options: Any
) -> AsyncIterator[list[WorkerLedger]]:
    """So many workers on this server; `options` as of `WorkerLedger`."""
    async with AsyncExitStack() as resources:
        ledgers = []
        for _ in range(number):
            store = await resources.enter_async_context(
                await Store.open(server.url, folder, deadline=30, control_timeout=30)
            )
            worker_ledger = WorkerLedger(
                store, RedisKeys(4, cluster=False), folder, deadline=30, workers=number, **options
            )
            ledgers.append(await resources.enter_async_context(worker_ledger))
        yield ledgers
