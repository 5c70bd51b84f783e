"""One whole product, and what a client and an operator see of it, for tests of the history under trouble."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from proxy.history import queries
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.stream import AppEvents
from proxy.store.configured import redis_keys
from tests.history.beside import verify_deployment
from tests.reporting.ledger_fixture import ALWAYS
from tests.support.deployment import Customer, Deployment, deployed, eventually

ARCHIVER = "tollgate: archiver"
DEADLINE_SECONDS = 0.25
CONFIG: dict[str, Any] = {"store": {"deadline_seconds": DEADLINE_SECONDS}, "log": {"requests": False}}
BODY = {"model_id": "m", "prompt": "p", "width": 64, "height": 64}
REQUESTS = 60
TOGETHER = 3


@dataclass
class Served:
    """One whole product, its only customer, and the ids of all requests that it has served."""

    deployment: Deployment
    customer: Customer
    client: httpx.AsyncClient
    ids: list[str] = field(default_factory=list)
    log_size: int = 0
    """Size of its log when the trouble began."""

    async def slowest(self) -> float:
        """Serve requests, a few at a time; return how many seconds the slowest took."""
        return max(await asyncio.gather(*(self._some(REQUESTS // TOGETHER) for _ in range(TOGETHER))))

    async def _some(self, count: int) -> float:
        taken = 0.0
        for _ in range(count):
            begun = time.perf_counter()
            response = await self.client.post("/text-to-image", json=BODY)
            taken = max(taken, time.perf_counter() - begun)
            assert response.status_code == 200
            self.ids.append(response.headers["x-request-id"])
        return taken

    def lines(self) -> list[str]:
        """Return what the log says since the trouble began."""
        return [str(each["event"]) for each in self.deployment.lines(self.log_size)]

    def archiver(self) -> psutil.Process:
        """Return the archiver's process."""
        [found] = [each for each in self.deployment.processes() if ARCHIVER in " ".join(each.cmdline())]
        return found

    @asynccontextmanager
    async def history(self) -> AsyncIterator[History]:
        """Open the history, as a command does."""
        history = History.of(self.deployment.settings)
        try:
            yield history
        finally:
            await history.close()

    async def archived(self) -> None:
        """Wait until the history has an event of every request."""
        async with self.history() as history:

            async def there() -> bool:
                return await history.read(queries.count) >= len(self.ids)

            await eventually(there)

    async def check(self) -> None:
        """Each request has one event, and all totals are right."""
        async with self.history() as history, self.deployment.store() as store:
            sources = LedgerSources(store.redis, redis_keys(self.deployment.settings), history)
            events = Counter([each.event.id async for each in AppEvents(sources, self.customer.app).read(ALWAYS)])
            assert events == Counter(self.ids)
            assert await verify_deployment(self.deployment.settings, store.redis) == []


@asynccontextmanager
async def served(folder: Path, **config: Any) -> AsyncIterator[Served]:
    """Run a product in a folder of its own; nothing waits for its archiver."""
    await asyncio.to_thread(folder.mkdir)
    async with deployed(folder, {**CONFIG, **config}) as deployment:
        customer = await deployment.customer()
        async with httpx.AsyncClient(base_url=deployment.public, headers=customer.headers, timeout=30) as client:
            found = Served(deployment, customer, client)
            await found.slowest()  # connections and caches
            await found.archived()
            yield found
