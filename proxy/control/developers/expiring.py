"""Records that end by themselves: found by their secret, and of one owner at most so many at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from middlewares.auth.keys import ApiKey, matches
from middlewares.auth.records import RecordKind, RecordRef
from proxy.control.records import Client, Records, StoredRecord


class ExpiringRecord(StoredRecord, Protocol):
    """A record without its secret, which is good until it expires."""

    @property
    def hash(self) -> str: ...

    @property
    def expires_at(self) -> datetime: ...


AnyExpiring = TypeVar("AnyExpiring", bound=ExpiringRecord)


async def find_by_secret(
    records: Records[AnyExpiring], kind: RecordKind, parts: ApiKey | None, pepper: bytes | None
) -> AnyExpiring | None:
    """Return the record of a secret, which stays good; None if it is unknown, used or over, or no such secret."""
    found = None if parts is None else await records.get(RecordRef(kind, parts.key_id))
    if parts is None or found is None or not matches(parts.secret, found.hash, pepper):
        return None
    return found if found.expires_at > datetime.now(UTC) else None


class OwnedRecords(Generic[AnyExpiring]):
    """Adds, lists and ends the records of owners.

    Each owner has a sorted set of their ids, by their end in Unix milliseconds.
    """

    def __init__(self, client: Client, records: Records[AnyExpiring], kind: RecordKind, index: Callable[[str], str]):
        """`index` returns the Redis key of an owner's sorted set."""
        self._client = client
        self._records: Records[AnyExpiring] = records
        self._kind: RecordKind = kind
        self._index = index

    async def add(self, owner: str, record: AnyExpiring, most: int) -> None:
        """Add a record of that owner; those past `most`, which would end first, end."""
        index = self._index(owner)
        await self._client.zremrangebyscore(index, "-inf", time.time() * 1_000)
        await self._client.zadd(index, {record.ref.id: record.expires_at.timestamp() * 1_000})
        await self._records.add(record, expires_at=record.expires_at)
        for each in await self._ids(owner, last=-most - 1):
            await self.end(owner, each)

    async def end(self, owner: str, record_id: str) -> bool:
        """End a record at once, for every worker. Return False if the owner has none of that id."""
        if not await self._client.zrem(self._index(owner), record_id):
            return False
        await self._records.remove(RecordRef(self._kind, record_id))
        return True

    async def of_owner(self, owner: str) -> list[AnyExpiring]:
        """Return the records of an owner, oldest first."""
        return await self._records.several([RecordRef(self._kind, each) for each in await self._ids(owner)])

    async def _ids(self, owner: str, last: int = -1) -> Sequence[str]:
        found: Any = await self._client.zrange(self._index(owner), 0, last)
        return [each.decode() for each in found]
