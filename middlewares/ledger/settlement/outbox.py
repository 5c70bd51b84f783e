"""Carries the ends of requests to Redis in the background, by way of the journal where it must."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Set
from functools import partial
from typing import Any

from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.observer import Observer
from middlewares.ledger.settlement.journal import Journal, JournalFull, JournalRecord
from middlewares.ledger.settlement.journal_replay import empty_journal
from middlewares.ledger.settlement.settler import SETTLED, Settler
from middlewares.store import StoreError, StoreRejected

RECENT_SETTLEMENTS = 10_000
"""At most so many are written again after a failover; replication runs behind by far less."""


class Outbox:
    """Every settlement that was submitted is in Redis, or on disk, or on its way to one of them."""

    def __init__(
        self,
        settler: Settler,
        journal: Journal,
        observer: Observer,
        on_end: Callable[[Hold], None],
        *,
        replay_window: float,
    ) -> None:
        """`on_end` is called with every hold whose end is in Redis or on disk, or reported as lost.

        `replay_window` is how far back, in seconds, a failover may have lost what was acknowledged.
        """
        self._settler = settler
        self._journal = journal
        self._observer = observer
        self._on_end = on_end
        self._replay_window = replay_window
        self._recent: deque[tuple[float, Settlement]] = deque(maxlen=RECENT_SETTLEMENTS)
        """What was written last, and when (`time.monotonic`)."""
        self._under_way: set[asyncio.Future[Any]] = set()
        """Replies that are awaited, and tasks."""

    def submit(self, settlement: Settlement) -> None:
        """Begin to write a settlement.

        Nearly always the reply is all there is to wait for. A task for each settlement would cost 6 microseconds, more
        than two per cent of a small request.
        """
        if settlement.hold.local:
            self._spawn(self._write_local(settlement), settlement)
        else:
            reply = self._settler.begin(settlement)
            self._under_way.add(reply)
            reply.add_done_callback(partial(self._replied, settlement))

    def _replied(self, settlement: Settlement, reply: asyncio.Future[list[Any]]) -> None:
        self._under_way.discard(reply)
        error = reply.exception()
        if error is None and reply.result()[0] == SETTLED:
            self.remember(settlement)
            self._on_end(settlement.hold)
        elif error is None:
            self._spawn(self._conclude(settlement, reply.result()), settlement)
        elif isinstance(error, StoreRejected):
            self._settler.reject(settlement, error)
            self._on_end(settlement.hold)
        else:
            self._spawn(self._keep(settlement, error), settlement)

    def _spawn(self, work: Coroutine[Any, Any, None], settlement: Settlement) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda _: self._on_end(settlement.hold))

    async def _write_local(self, settlement: Settlement) -> None:
        """Write the end of a hold that began in the journal.

        It ends there, so that nobody who reads the journal later takes the hold for an orphan's.
        """
        if await self._to_journal(settlement):
            return
        try:
            await self._settler.settle(settlement)
        except StoreError as error:
            self._report_lost(settlement, error)
        else:
            self.remember(settlement)

    async def _conclude(self, settlement: Settlement, reply: list[Any]) -> None:
        """Write a settlement that has found no hold."""
        try:
            await self._settler.conclude(settlement, reply)
        except StoreError as error:
            await self._keep(settlement, error)
        else:
            self.remember(settlement)

    async def _keep(self, settlement: Settlement, error: BaseException) -> None:
        """Write to the journal what Redis did not take."""
        if not await self._to_journal(settlement):
            self._report_lost(settlement, error)

    def _report_lost(self, settlement: Settlement, error: BaseException) -> None:
        if settlement.forwarded:
            self._observer.lost(f"the usage of {settlement.hold.request_id} could not be kept: {error}")

    def remember(self, settlement: Settlement) -> None:
        """Keep in memory what was written just now, for `after_failover`; nothing of what Redis has refused."""
        if self._replay_window and settlement.forwarded and not settlement.refused:
            self._recent.append((time.monotonic(), settlement))

    def _forget(self) -> None:
        """Drop what was written too long ago for a failover to lose it."""
        since = time.monotonic() - self._replay_window
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()

    async def _to_journal(self, settlement: Settlement) -> bool:
        """Return True once it is on disk, False where the journal is full or the disk fails."""
        settlement.attempted_ms = settlement.time_ms
        try:
            await self._journal.append(JournalRecord(settlement=settlement))
        except (JournalFull, OSError):
            return False
        self._observer.journaled()
        return True

    async def after_failover(self) -> None:
        """Write again, where it is missing, what was acknowledged last: another server took over and may lack it."""
        self._forget()
        recent = [settlement for _, settlement in self._recent]
        for settlement in recent:
            settlement.attempted_ms = settlement.time_ms
            settlement.hold.share = ""  # its worker has told Redis already that the share has nothing more for it
        try:
            await self._settler.settle_again(recent)
        except StoreError:
            await gather_bounded(self._to_journal, recent)

    async def replay(self, open_holds: Set[str]) -> None:
        """Write to Redis what is in the journal; see `empty_journal`. Raises `OSError` where the disk fails."""
        self._forget()
        replayed, aside = await empty_journal(self._journal, open_holds, self._settler, self.remember)
        if replayed:
            self._observer.replayed(replayed)
        if aside:
            self._observer.lost(f"a part of the journal cannot be read and is kept as {aside}")

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        while self._under_way:
            await asyncio.wait(self._under_way)
