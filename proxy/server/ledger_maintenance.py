"""The ledger's upkeep, by one process for all workers: orphaned holds, journals, expired credits, memory of Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from config.settings import Settings
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.credit.expiry import LotExpiry
from middlewares.ledger.settlement.journal_replay import adopt_journals
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.rejected import RejectedSettlements
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import StoreError, StoreUnavailable
from proxy.server.ledger_metrics import LedgerObserver
from proxy.store.clients import CLIENT_ERRORS, end, now_ms
from proxy.store.configured import open_store, redis_keys
from proxy.store.memory_watch import RedisMemoryWatch
from proxy.store.store import Store

ADOPTION_SECONDS = 2.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.ledger")


class LedgerMaintenance:
    """Runs in the supervisor. Several of them, on several machines, do no harm: every step is conditional in Redis."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.store = store
        self._observer = LedgerObserver()
        self._clock = RedisClock()
        keys = redis_keys(settings)
        self._folder = settings.data_dir / "journal"
        self._settler = Settler(store, keys, RejectedSettlements(self._folder, self._observer).keep)
        self._memory = RedisMemoryWatch(
            store.redis, settings.store, self._observer.redis_memory, embedded=settings.redis_url is None
        )
        self._reaper = Reaper(store, keys, self._settler, self._observer.orphaned, self._observer.lost)
        self._lots = LotExpiry(store, keys)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[LedgerMaintenance]:
        """Connect and begin; stop on the way out. Raises `StoreError` where Redis is not there."""
        async with await open_store(settings) as store:
            maintenance = cls(settings, store)
            with contextlib.suppress(
                StoreError
            ):  # what may be in the history waits for the archiver, which starts later
                await maintenance.adopt()
            work = (maintenance._reaper.run, maintenance._keep_adopting, maintenance._memory.run, maintenance._lots.run)
            tasks = [asyncio.create_task(each()) for each in work]
            try:
                yield maintenance
            finally:
                await end(tasks)
                await asyncio.gather(*tasks, return_exceptions=True)

    async def adopt(self) -> None:
        """Write the journals of dead workers to Redis, by its time. Raises `StoreError`."""
        try:
            self._clock.observe(await now_ms(self.store.redis))
        except CLIENT_ERRORS as error:
            raise StoreUnavailable(f"Redis does not tell its time: {error}") from None
        written, aside = await adopt_journals(self._folder, self._settler, self._clock, self._observer.orphaned)
        for path in aside:
            log.error("journal_corrupt", kept_as=path.name, do="inspect it: its records were not written to Redis")
        if written:
            self._observer.replayed(written)

    async def _keep_adopting(self) -> None:
        while True:
            await asyncio.sleep(ADOPTION_SECONDS)
            with contextlib.suppress(StoreError):  # the breaker has logged it
                await self.adopt()
