"""Archives the stream of one hash tag: reads it from the cursor, and moves both together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from proxy.history import writes
from proxy.history.archive.context import TagContext
from proxy.history.archive.days import DayCloser
from proxy.history.archive.doubts import dispel
from proxy.history.archive.lease import ArchiverLeases, Look
from proxy.history.archive.trimmer import Trimmer
from proxy.history.batch import START, Entry
from proxy.history.belonging import claim
from proxy.history.packing import StreamEntry
from proxy.history.queries import Cursor
from proxy.history.retention.pruner import Pruner

TRIM_EVERY = 10
"""Batches of a long backlog after which the stream is trimmed, so that its memory is free before its end."""


class TagArchiver:
    """One hash tag, while this process has its lease or waits for it."""

    def __init__(self, context: TagContext, leases: ArchiverLeases, on_progress: Callable[[], None]) -> None:
        """`on_progress` is called after each batch."""
        self.tag = context.tag
        self._context = context
        self.stream = context.stream
        self.cursor: Cursor | None = None
        """The cursor while this process is the archiver of the tag."""
        self._client: Any = context.client
        self._number = context.number
        self._history = context.history
        self._leases = leases
        self._on_progress = on_progress
        self._batch = context.settings.batch
        self._observer = context.observer
        self._trimmer = Trimmer(context)
        self._days = DayCloser(context)
        self._pruner = Pruner(context)

    @property
    def pinned_ms(self) -> int:
        """Age in milliseconds of the oldest entry that only an export group keeps in Redis; 0: there is none."""
        return self._trimmer.pinned_ms

    async def advance(self) -> None:
        """Archive what is in the stream, then trim it, then close days and prune what is too old.

        Raises `Superseded` where another archiver has taken over, `HistoryUnavailable`, and the errors of the client.
        """
        look = await self._look()
        if look is None:
            return
        cursor = await self._begin(look)
        batches = 0
        ahead: Awaitable[list[StreamEntry]] | None = self._read(cursor.entry) if look.last > cursor.entry else None
        while ahead is not None and (entries := await ahead):
            following = None
            if len(entries) == self._batch:
                following = asyncio.ensure_future(self._read(Entry.parse(entries[-1][0])))
            try:
                cursor = await self._archive(cursor, look, entries)
            except BaseException:
                if following:
                    following.cancel()
                raise
            ahead, batches = following, batches + 1
            if batches % TRIM_EVERY == 0:
                cursor = self.cursor = await self._trim(cursor, look)
            if following and (await self._look()) is None:
                following.cancel()
                return
        cursor = self.cursor = await self._trim(cursor, look)
        self.cursor = await self._days.close(cursor, look.now_ms)
        await self._pruner.prune(look)
        await dispel(self._context)

    async def _look(self) -> Look | None:
        """Return the stream's state while the lease is this process's; forget the cursor when it is not."""
        look = await self._leases.look(self.tag)
        if not look.mine or (look.taken and self.cursor is not None):
            self.cursor = None
        return look if look.mine else None

    async def _begin(self, look: Look) -> Cursor:
        cursor = self.cursor
        if cursor is None:
            await claim(self._client, self._history)
            cursor = await self._history.write(writes.take_over, self._number)
        if cursor.server != look.server or look.last < cursor.entry:
            if cursor.entry > START:
                self._observer.rewound(self.stream)
            cursor = await self._history.write(writes.rewind, self._number, cursor.token, look.server)
        self.cursor = cursor
        return cursor

    async def _read(self, after: Entry) -> list[StreamEntry]:
        found: list[StreamEntry] = await self._client.xrange(self.stream, after.next, count=self._batch)
        return found

    async def _archive(self, cursor: Cursor, look: Look, entries: list[StreamEntry]) -> Cursor:
        done = await self._history.write(writes.archive, self._number, cursor.token, look.server, entries)
        self.cursor = done.cursor
        self._on_progress()
        self._observer.archived(done.added, done.repeated)
        self._observer.network_units_archived(done.network_units)
        for entry in done.unreadable:
            self._observer.unreadable(self.stream, entry)
        return done.cursor

    async def _trim(self, cursor: Cursor, look: Look) -> Cursor:
        return await self._trimmer.trim(self._leases, cursor, look)
