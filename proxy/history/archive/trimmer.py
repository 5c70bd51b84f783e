"""Trims a usage stream: only what the history has, every export group has acknowledged, and is old enough."""

from __future__ import annotations

from proxy.history import writes
from proxy.history.archive.context import TagContext
from proxy.history.archive.groups import Group, GroupPosition, expired, groups, record
from proxy.history.archive.lease import ArchiverLeases, Look
from proxy.history.batch import Entry
from proxy.history.queries import Cursor

RECORD_MS = 60_000
"""Milliseconds between two records of how far export groups have come."""


class Trimmer:
    """Trims the stream of one hash tag."""

    def __init__(self, context: TagContext) -> None:
        self.pinned_ms = 0
        """Age in milliseconds of the oldest entry that only an export group keeps in Redis; 0: there is none."""
        self._tag = context.tag
        self._client = context.client
        self._number = context.number
        self._stream = context.stream
        self._history = context.history
        self._keep_ms = context.settings.keep_in_redis_seconds * 1_000
        self._expiry_ms = context.settings.export_group_expiry_seconds * 1_000
        self._observer = context.observer
        self._behind: set[str] = set()
        self._recorded_ms = 0
        self._unrecorded = True
        """Groups may have come further than was recorded; in a stream that stays empty, nothing else would tell."""
        self._positions: dict[str, GroupPosition] = {}

    async def trim(self, leases: ArchiverLeases, cursor: Cursor, look: Look) -> Cursor:
        """Trim what may go, and return the cursor."""
        bound = min(_after(cursor.entry), Entry(max(0, look.now_ms - self._keep_ms), 0))
        if look.first is None or look.first >= bound:  # whatever the groups need
            if self._unrecorded and look.now_ms - self._recorded_ms >= RECORD_MS:
                await self._record(await groups(self._client, self._stream), look.now_ms)
            self._report([], bound, look.now_ms)
            return cursor
        found = await groups(self._client, self._stream)
        if found:
            found = await self._without_expired(found, bound, look.now_ms)
        allowed = min([bound, *(group.needs for group in found)])
        self._report(found, bound, look.now_ms)
        if look.first >= allowed:
            return cursor
        last = Entry(allowed.ms, allowed.seq - 1)
        cursor = await self._history.write(writes.announce_trim, self._number, cursor.token, last)
        while (trimmed := await leases.trim(self._tag, look.server, allowed)) > 0:
            self._observer.trimmed(trimmed)
        return cursor

    async def _without_expired(self, found: list[Group], bound: Entry, now_ms: int) -> list[Group]:
        """Return the groups that still count; remove those that nobody reads any more."""
        pinning = [group for group in found if group.needs < bound]
        if now_ms - self._recorded_ms >= RECORD_MS or any(group.name not in self._positions for group in pinning):
            await self._record(found, now_ms)
        else:
            self._unrecorded = True
        for group in pinning:
            if expired(group, self._positions.get(group.name), now_ms, self._expiry_ms):
                await self._client.xgroup_destroy(self._stream, group.name)
                self._observer.group_expired(self._stream, group.name)
                found = [each for each in found if each is not group]
        return found

    async def _record(self, found: list[Group], now_ms: int) -> None:
        if found:
            self._positions = await self._history.write(record, self._number, found, now_ms)
        self._recorded_ms, self._unrecorded = now_ms, False

    def _report(self, found: list[Group], bound: Entry, now_ms: int) -> None:
        behind = {group.name: group.needs for group in found if group.needs < bound}
        for name in sorted(behind.keys() - self._behind):
            self._observer.group_behind(self._stream, name)
        self._behind = set(behind)
        self.pinned_ms = max(0, now_ms - min(behind.values()).ms) if behind else 0


def _after(entry: Entry) -> Entry:
    return Entry(entry.ms, entry.seq + 1)
