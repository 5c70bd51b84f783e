"""Carries the ends of requests to Redis in the background, by way of the journal where it must."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Set
from typing import Any

import msgspec

from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.observer import Observer
from middlewares.ledger.settlement.journal import Journal, JournalFull, Record
from middlewares.ledger.settlement.journal_replay import empty_journal
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import StoreError, StoreRejected, StoreUnavailable

REMEMBERED_SETTLEMENTS = 10_000
"""Of those, at the most, are written again after a failover; replication runs behind by far less."""
ANSWER_SECONDS = 0.01
"""A drain looks this often whether all answers are there, once it waits for nothing else."""


class Outbox:
    """A settlement that was submitted is in Redis, or on disk, or on its way to one of them."""

    def __init__(
        self,
        settler: Settler,
        journal: Journal,
        observer: Observer,
        on_end: Callable[[Hold], None],
        *,
        replay_window: float,
    ) -> None:
        """`on_end` hears of every hold whose end is in Redis or on disk, or reported as lost.

        `replay_window` is how far back, in seconds, a failover may have lost what was acknowledged.
        """
        self._settler = settler
        self._journal = journal
        self._observer = observer
        self._on_end = on_end
        self._replay_window = replay_window
        self._recent: deque[tuple[float, Settlement]] = deque(maxlen=REMEMBERED_SETTLEMENTS)
        """What was written last, and when."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._unanswered = 0

    def submit(self, settlement: Settlement) -> None:
        """Begin to write it."""
        if not settlement.hold.local and self._settler.begin(settlement, _Delivery(self, settlement)):
            self._unanswered += 1
        else:
            self._spawn(self._write(settlement), settlement)

    def answered(self, settlement: Settlement, reply: Any, error: StoreError | None) -> None:
        """Nearly always it is written now, without a task of its own; the rest is for one."""
        self._unanswered -= 1
        if error is None and reply[0] == 1:
            self._remember(settlement)
            self._on_end(settlement.hold)
        elif isinstance(error, StoreRejected):
            self._settler.refused(settlement, error)
            self._on_end(settlement.hold)
        elif isinstance(error, StoreUnavailable) and error.may_have_run:
            self._spawn(self._keep(settlement, error), settlement)
        else:
            self._spawn(self._write(settlement), settlement)

    def _spawn(self, work: Coroutine[Any, Any, None], settlement: Settlement) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda _: self._on_end(settlement.hold))

    async def _write(self, settlement: Settlement) -> None:
        # What began in the journal ends there, so that nobody who reads it later takes the hold for an orphan's.
        if settlement.hold.local and await self._to_journal(settlement):
            return
        try:
            await self._settler.settle(settlement)
        except StoreError as error:
            await self._keep(settlement, error)
        else:
            self._remember(settlement)

    async def _keep(self, settlement: Settlement, error: StoreError) -> None:
        """Redis did not take it: the journal does, unless that was tried first."""
        if (settlement.hold.local or not await self._to_journal(settlement)) and settlement.forwarded:
            self._observer.lost(f"the usage of {settlement.hold.request_id} could not be kept: {error}")

    def _remember(self, settlement: Settlement) -> None:
        """It was written just now."""
        if self._replay_window and settlement.forwarded:
            self._recent.append((time.monotonic(), settlement))

    def _forget(self) -> None:
        """What was written too long ago."""
        since = time.monotonic() - self._replay_window
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()

    async def _to_journal(self, settlement: Settlement) -> bool:
        settlement.attempted_ms = settlement.time_ms
        try:
            await self._journal.append(Record(settlement=settlement))
        except (JournalFull, OSError):
            return False
        self._observer.journaled()
        return True

    async def after_failover(self) -> None:
        """Another server took over, and may lack what the old one acknowledged last: write it again where missing."""
        self._forget()
        recent = [settlement for _, settlement in self._recent]
        for settlement in recent:
            settlement.attempted_ms = settlement.time_ms
        try:
            await self._settler.settle_again(recent)
        except StoreError:
            await gather_bounded(self._to_journal, recent)

    async def replay(self, living: Set[str]) -> None:
        """Write to Redis what is in the journal; see `empty_journal`. Raises `OSError` where the disk fails."""
        self._forget()
        replayed, aside = await empty_journal(self._journal, living, self._settler, self._remember)
        if replayed:
            self._observer.replayed(replayed)
        if aside:
            self._observer.lost(f"a part of the journal cannot be read and is kept as {aside}")

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        while self._under_way or self._unanswered:
            if self._under_way:
                await asyncio.wait(self._under_way)
            else:
                await asyncio.sleep(ANSWER_SECONDS)


class _Delivery(msgspec.Struct, frozen=True):
    """Waits for what Redis says to one settlement; quicker than a future, for nobody awaits it."""

    outbox: Outbox
    settlement: Settlement

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None:
        self.outbox.answered(self.settlement, reply, None)

    def set_exception(self, error: StoreError) -> None:
        self.outbox.answered(self.settlement, None, error)
