"""Moves usage events from Redis to the history, all hash tags in turn, off the request path.

Trouble with the history or Redis never ends it: events stay where they are, and it goes on when they are back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from config.history import HistorySettings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.records import Client
from proxy.history.archive.context import TagContext
from proxy.history.archive.lease import ArchiverLeases
from proxy.history.archive.observer import HistoryObserver
from proxy.history.archive.tag_archiver import TagArchiver
from proxy.history.audit.archiver import AuditArchiver
from proxy.history.batch import START, Entry
from proxy.history.explain.archiver import ExplainArchiver
from proxy.history.store import History, HistoryUnavailable
from proxy.history.writes import Superseded
from proxy.store.clients import CLIENT_ERRORS, now_ms, wait

POLL_SECONDS = 1.0
LONGEST_WAIT = 15.0
"""Seconds between two tries while the history is away."""
PATIENCE_SECONDS = 15.0
"""Seconds without any progress after which a history that does not say no counts as unavailable."""


class Archiver:
    """The archiver of one process; it works on the hash tags whose leases it gets."""

    def __init__(
        self,
        client: Client,
        keys: RedisKeys,
        history: History,
        settings: HistorySettings,
        observer: HistoryObserver,
        *,
        explain: ExplainArchiver | None = None,
    ) -> None:
        """`explain` moves refusals; None: somebody else does."""
        self._client: Any = client
        self._observer = observer
        self._leases = ArchiverLeases(client, keys)
        contexts = [
            TagContext(number=number, client=client, keys=keys, history=history, settings=settings, observer=observer)
            for number in range(len(keys.tags))
        ]
        self.tags = [TagArchiver(context, self._leases, self._progressed) for context in contexts]
        self._audit = AuditArchiver(client, history, self._leases.owner, observer)
        self._explain = explain
        self._available = True
        self._progress = 0.0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the run after the current batch."""
        self._stopping.set()

    async def run(self) -> None:
        """Archive until `stop`."""
        self._progressed()
        reporting = asyncio.create_task(self._report())
        pause = POLL_SECONDS
        try:
            while not self._stopping.is_set():
                pause = POLL_SECONDS if await self.advance() else min(2 * pause, LONGEST_WAIT)
                await wait(self._stopping, pause)
        finally:
            self._stopping.set()  # before Python 3.12 a cancellation can be lost in `asyncio.wait_for`, under redis-py
            await reporting
            await self.release()

    async def release(self) -> None:
        """Let another archiver take over at once."""
        with suppress(*CLIENT_ERRORS):
            await self._leases.release()
            await self._audit.release()

    async def advance(self) -> bool:
        """Archive what all streams hold now; return False if the history was not available.

        It has recovered once no stream fails: those without events need no more than to read it.
        """
        worked = False
        for tag in self.tags:
            if self._stopping.is_set():
                return True
            try:
                await tag.advance()
            except Superseded:
                tag.cursor = None
                continue
            except HistoryUnavailable as error:
                tag.cursor = None
                self._unavailable(str(error))
                return False
            except CLIENT_ERRORS:
                tag.cursor = None
                continue
            worked = True
            self._progressed()
        if not await self._advance_others():
            return False
        if worked:
            self._recovered()
        return True

    async def _advance_others(self) -> bool:
        try:
            await self._audit.advance()
            if self._explain:
                await self._explain.advance()
        except HistoryUnavailable as error:
            self._unavailable(str(error))
            return False
        except CLIENT_ERRORS:
            pass  # as with events: they stay where they are
        return True

    async def lag(self) -> tuple[float, float]:
        """Return the age in seconds of the oldest event or audit line not archived, and of the oldest only pinned."""
        now = await now_ms(self._client)
        pipeline = self._client.pipeline(transaction=False)
        for tag in self.tags:
            after = tag.cursor.entry if tag.cursor else START  # without a cursor, the first of the stream
            pipeline.xrange(tag.stream, after.next, count=1)
        replies: Sequence[Any] = await pipeline.execute()
        oldest = [Entry.parse(found[0][0]) for found in replies if found] + [await self._audit.oldest()]
        waiting = [now - entry.ms for entry in oldest if entry is not None]
        return max([0, *waiting]) / 1_000, max(tag.pinned_ms for tag in self.tags) / 1_000

    async def _report(self) -> None:
        """Report the lag from time to time, also while the history neither works nor fails."""
        while not self._stopping.is_set():
            with suppress(*CLIENT_ERRORS):
                self._observer.lag(*await self.lag())
            if asyncio.get_running_loop().time() - self._progress > PATIENCE_SECONDS:
                self._unavailable("the history does not respond")
            await wait(self._stopping, POLL_SECONDS)

    def _progressed(self) -> None:
        self._progress = asyncio.get_running_loop().time()

    def _unavailable(self, reason: str) -> None:
        if self._available:
            self._available = False
            self._observer.unavailable(reason)

    def _recovered(self) -> None:
        if not self._available:
            self._available = True
            self._observer.recovered()
