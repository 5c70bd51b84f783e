"""Records in Redis: one JSON string per app, user and key, beside small indexes. Each command touches one slot.

    tollgate:apps                              set of client ids
    tollgate:app:{<client_id>}                 AppRecord
    tollgate:app-keys:{<client_id>}            set of key ids
    tollgate:app-users:{<client_id>}           hash: external id -> user id
    tollgate:user:{<client_id>}:<user_id>      UserRecord
    tollgate:key:{<key_id>}                    KeyRecord

An index entry is written before its record: after a crash in between an index may name what does not exist, which
readers skip, but nothing exists that no index names. Everything here raises `redis.RedisError` or `OSError` when Redis
cannot do it, and `StoreRejected` for a record that is not one.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Generic, TypeVar

import msgspec
from redis.asyncio import Redis, RedisCluster

from middlewares.auth.records import AppRecord, KeyRecord, RecordRef, UserRecord
from middlewares.store import StoreRejected

Client = Redis | RedisCluster
Record = TypeVar("Record", AppRecord, UserRecord, KeyRecord)

APPS = "tollgate:apps"
CHANGES = "tollgate:changes"
"""Channel on which every change of an existing record is announced, as the JSON of its `RecordRef`."""

_REPLACE = (files(__package__) / "lua" / "replace.lua").read_text()
_BATCH = 500


def name_of(ref: RecordRef) -> str:
    """Where the record of that reference lies."""
    if ref.kind == "user":
        client_id, _, user_id = ref.id.rpartition("/")
        return f"tollgate:user:{{{client_id}}}:{user_id}"
    return f"tollgate:{ref.kind}:{{{ref.id}}}"


def keys_of(client_id: str) -> str:
    """The set of an app's key ids."""
    return f"tollgate:app-keys:{{{client_id}}}"


def users_of(client_id: str) -> str:
    """The hash of an app's users: external id to user id."""
    return f"tollgate:app-users:{{{client_id}}}"


class UnknownRecord(LookupError):
    """There is no such record."""

    def __init__(self, ref: RecordRef) -> None:
        super().__init__(f"there is no {ref.kind} {ref.id}")
        self.ref = ref


def decode(document: bytes | str, kind: type[Record], ref: RecordRef) -> Record:
    """The record that `document` holds. Raises `StoreRejected`."""
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.DecodeError as error:
        raise StoreRejected(f"the record of {ref.kind} {ref.id} cannot be read: {error}") from None


class Records(Generic[Record]):
    """The records of one kind."""

    def __init__(self, client: Client, kind: type[Record]) -> None:
        self._client = client
        self._kind: type[Record] = kind

    async def get(self, ref: RecordRef) -> Record | None:
        """The record, None if there is none."""
        document = await self._client.get(name_of(ref))
        return None if document is None else decode(document, self._kind, ref)

    async def require(self, ref: RecordRef) -> Record:
        """The record; raises `UnknownRecord`."""
        record = await self.get(ref)
        if record is None:
            raise UnknownRecord(ref)
        return record

    async def several(self, refs: Sequence[RecordRef]) -> list[Record]:
        """Those of the records that exist, oldest first."""
        found: list[Record] = []
        for start in range(0, len(refs), _BATCH):
            batch = refs[start : start + _BATCH]
            pipeline = self._client.pipeline(transaction=False)
            for ref in batch:
                pipeline.get(name_of(ref))
            documents = await pipeline.execute()
            found += [
                decode(document, self._kind, ref)
                for ref, document in zip(batch, documents, strict=True)
                if document is not None
            ]
        return sorted(found, key=lambda record: record.created_at)

    async def add(self, record: Record) -> bool:
        """Write a new record; False, and nothing done, if it exists already."""
        return bool(await self._client.set(name_of(record.ref), msgspec.json.encode(record), nx=True))

    async def change(self, ref: RecordRef, edit: Callable[[Record], Record]) -> Record:
        """Replace the record by what `edit` makes of it, and announce it to every worker.

        Announced even if nothing differs: repeating a command repeats a notice that may have been lost. Raises
        `UnknownRecord`.
        """
        name = name_of(ref)
        while (document := await self._client.get(name)) is not None:
            record = edit(decode(document, self._kind, ref))
            replaced: Any = await self._client.eval(_REPLACE, 1, name, document, msgspec.json.encode(record))
            if replaced:
                await self._client.publish(CHANGES, msgspec.json.encode(ref))
                return record
        raise UnknownRecord(ref)
