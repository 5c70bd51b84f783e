"""Moves audit lines from Redis to the history and chains them there.

The lease keeps two archivers out of each other's way; that no line is added twice or at another's place is seen to by
the ids of the lines and by the lock of the chain's head. So lines leave Redis only after they are in the history.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from proxy.control.audit.log import HEAD, STREAM
from proxy.control.records import Client
from proxy.history.archive import lease
from proxy.history.archive.observer import HistoryObserver
from proxy.history.audit.rows import append
from proxy.history.audit.waiting import UNREADABLE, line_in
from proxy.history.batch import START, Entry
from proxy.history.belonging import claim
from proxy.history.store import History

BATCH = 500
LEASE = f"{STREAM}-archiver"


class AuditArchiver:
    """The archiver of audit lines of one process."""

    def __init__(self, client: Client, history: History, owner: str, observer: HistoryObserver) -> None:
        self._client: Any = client
        self._history = history
        self._owner = owner
        self._observer = observer

    async def advance(self) -> None:
        """Archive the lines that are there. Raises `HistoryUnavailable` and the errors of the client."""
        after = START
        while entries := await self._client.xrange(STREAM, after.next, count=BATCH):
            if not await lease.take_lease(self._client, LEASE, self._owner, int(lease.LEASE_SECONDS * 1000)):
                return
            if after == START:
                await claim(self._client, self._history)
            lines = [line_in(name, fields) for name, fields in entries]
            head, added = await self._history.write(append, lines)
            for _, _, line in lines:
                if line.action == UNREADABLE:
                    self._observer.unreadable(STREAM, line.target)
            self._observer.audited(added)
            await self._client.set(HEAD, str(head))
            after = Entry.parse(entries[-1][0])
            if not await self._pinned():
                await self._client.xtrim(STREAM, minid=after.next, approximate=False)

    async def oldest(self) -> Entry | None:
        """Return the first entry that waits, None if there is none."""
        found = await self._client.xrange(STREAM, count=1)
        return Entry.parse(found[0][0]) if found else None

    async def release(self) -> None:
        """Let another archiver take over at once."""
        await lease.release_lease(self._client, LEASE, self._owner)

    async def _pinned(self) -> bool:
        """Return True while a backup keeps what it has not copied yet."""
        try:
            return bool(await self._client.xinfo_groups(STREAM))
        except ResponseError:
            return False
