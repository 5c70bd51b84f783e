"""What an export group still needs of the history, before the stream: a group that begins late, or returns late.

The group in Redis begins where the history ended at that moment, so that the two together are everything. One exporter
at a time works on the backlog of a hash tag; it has a lease for that.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from proxy.history import queries
from proxy.history.archive import groups
from proxy.history.archive.groups import GroupPosition
from proxy.history.archive.lease import release_lease, take_lease
from proxy.history.batch import START
from proxy.history.reader import LedgerSources, current_server


class GroupBacklog:
    """The backlog of one group in one hash tag."""

    def __init__(self, sources: LedgerSources, number: int, group: str, consumer: str, lease_ms: int) -> None:
        tag = sources.keys.tags[number]
        self.stream = sources.keys.shared(tag).events
        self._client: Any = sources.client
        self.history = sources.history
        self._number = number
        self._group = group
        self._consumer = consumer
        self._lease_ms = lease_ms
        self._lease = f"{tag}export-backlog:{group}"
        self._left = False
        self._taken: list[int] = []

    async def begin(self) -> None:
        """Create the group in Redis where it does not exist; find out whether it has a backlog."""
        exists = self._group in {each.name for each in await groups.groups(self._client, self.stream)}
        while not exists:
            cursor = await self.history.read(queries.cursor, self._number)
            entry, seq = (cursor.entry, cursor.seq) if cursor else (START, 0)
            now_ms = entry.ms
            await self.history.write(groups.begin, self._group, self._number, GroupPosition(0, entry, now_ms, seq))
            same = cursor is not None and cursor.server == await current_server(self._client, self.stream)
            begins = str(entry) if same else "0"
            try:
                await self._client.xgroup_create(self.stream, self._group, begins, mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
            latest = await self.history.read(queries.cursor, self._number)
            exists = latest is None or latest.trimmed <= entry
            if not exists:  # what the group begins with was trimmed before it was there
                await self._client.xgroup_destroy(self.stream, self._group)
        self._left = await self.waiting() > 0

    async def waiting(self) -> int:
        """Return about how many events of the history wait; 0: none."""
        position = (await self.history.read(groups.positions, self._number)).get(self._group)
        return position.until - position.seq if position and position.seq < position.until else 0

    async def take(self, count: int) -> list[queries.ArchivedEntry]:
        """Return the next events of the backlog; none if there is none, or another exporter works on it."""
        if not self._left or self._taken or not await self._leased():
            return []
        position = (await self.history.read(groups.positions, self._number))[self._group]
        found = await self.history.read(queries.of_tag, self._number, position.seq, position.until, count)
        if not found:
            await self.history.write(groups.advance, self._group, self._number, position.until)
            self._left = False
            await self.release()
        self._taken = [each.seq for each in found]
        return found

    async def acknowledge(self, seqs: set[int]) -> None:
        """Record that these were delivered."""
        left = [seq for seq in self._taken if seq not in seqs]
        done = [seq for seq in self._taken if seq in seqs and (not left or seq < left[0])]
        if done:
            await self.history.write(groups.advance, self._group, self._number, done[-1])
            self._taken = [seq for seq in self._taken if seq > done[-1]]
        if not left:
            self._taken = []

    async def renew(self) -> None:
        """Renew the lease while something is being delivered."""
        if self._taken:
            await self._leased()

    async def release(self) -> None:
        """Let another exporter go on."""
        self._taken = []
        await release_lease(self._client, self._lease, self._consumer)

    async def _leased(self) -> bool:
        return await take_lease(self._client, self._lease, self._consumer, self._lease_ms)
