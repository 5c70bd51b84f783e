"""Records in Redis: one JSON string per app, user and key, beside small indexes. Each command touches one slot.

    tollgate:apps                              set of client ids
    tollgate:app:{<client_id>}                 AppRecord
    tollgate:app-keys:{<client_id>}            set of key ids
    tollgate:app-users:{<client_id>}           hash: external id -> user id
    tollgate:user:{<client_id>}:<user_id>      UserRecord
    tollgate:key:{<key_id>}                    KeyRecord
    tollgate:webhooks                          set of ids of the endpoints that webhooks are sent to
    tollgate:app-webhooks:{<client_id>}        the same of one app, or of `operator`
    tollgate:webhook:{<webhook_id>}            WebhookEndpoint
    tollgate:key-families                      hash: id of a key that replaced another -> id its use is counted under
    tollgate:token:{<jti>}                     empty: the token is revoked; expires with it
    tollgate:used-token:{<client_id>}:<hash>   empty: the token of the app's own issuer was exchanged; expires with it

Developers and what belongs to them are in `proxy.control.developers`, operators in `proxy.control.operators`.

An index entry is written before its record: after a crash in between an index may name a missing record, which
readers skip, but every record is in its index. Everything here raises `redis.RedisError` or `OSError` when Redis
fails, and `StoreRejected` for a record that cannot be read.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.resources import files
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from redis.asyncio import Redis, RedisCluster

from middlewares.auth.records import RecordRef
from middlewares.store import StoreRejected

Client = Redis | RedisCluster


class StoredRecord(Protocol):
    """What all records have."""

    @property
    def ref(self) -> RecordRef: ...

    @property
    def created_at(self) -> datetime: ...


AnyRecord = TypeVar("AnyRecord", bound=StoredRecord)

APPS = "tollgate:apps"
OPERATORS = "tollgate:operators"
FAMILIES = "tollgate:key-families"
WEBHOOKS = "tollgate:webhooks"
CHANGES = "tollgate:changes"
"""Channel on which every change of an existing record is announced, as the JSON of its `RecordRef`."""

_REPLACE = (files(__package__) / "lua" / "replace.lua").read_text()
_BATCH = 500


def name_of(ref: RecordRef) -> str:
    """Return the Redis key of a record."""
    if ref.kind in ("user", "member"):
        client_id, _, within = ref.id.rpartition("/")
        return f"tollgate:{ref.kind}:{{{client_id}}}:{within}"
    return f"tollgate:{ref.kind}:{{{ref.id}}}"


def keys_of(client_id: str) -> str:
    """Return the Redis key of the set of an app's key ids."""
    return f"tollgate:app-keys:{{{client_id}}}"


def webhooks_of(owner: str) -> str:
    """Return the Redis key of the set of ids of an owner's webhook endpoints."""
    return f"tollgate:app-webhooks:{{{owner}}}"


async def indexed(client: Client, index: str) -> list[str]:
    """Return the ids in the set of that Redis key, each once."""
    return list(dict.fromkeys([each.decode() async for each in client.sscan_iter(index, count=1_000)]))


def users_of(client_id: str) -> str:
    """Return the Redis key of the hash of an app's users: external id to user id."""
    return f"tollgate:app-users:{{{client_id}}}"


class UnknownRecord(LookupError):
    """The record does not exist."""

    def __init__(self, ref: RecordRef) -> None:
        super().__init__(f"there is no {ref.kind} {ref.id}")
        self.ref = ref


def decode(document: bytes | str, kind: type[AnyRecord], ref: RecordRef) -> AnyRecord:
    """Return the record in `document`. Raises `StoreRejected`."""
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.DecodeError as error:
        raise StoreRejected(f"the record of {ref.kind} {ref.id} cannot be read: {error}") from None


class Records(Generic[AnyRecord]):
    """Reads and writes the records of one kind."""

    def __init__(self, client: Client, kind: type[AnyRecord]) -> None:
        self._client = client
        self._kind: type[AnyRecord] = kind

    async def get(self, ref: RecordRef) -> AnyRecord | None:
        """Return the record, None if there is none."""
        document = await self._client.get(name_of(ref))
        return None if document is None else decode(document, self._kind, ref)

    async def require(self, ref: RecordRef) -> AnyRecord:
        """Return the record. Raises `UnknownRecord`."""
        record = await self.get(ref)
        if record is None:
            raise UnknownRecord(ref)
        return record

    async def several(self, refs: Sequence[RecordRef]) -> list[AnyRecord]:
        """Return those of the records that exist, oldest first."""
        found: list[AnyRecord] = []
        for start in range(0, len(refs), _BATCH):
            batch = refs[start : start + _BATCH]
            found += [decode(document, self._kind, ref) for ref, document in await self._documents(batch)]
        return sorted(found, key=lambda record: record.created_at)

    async def readable(self, refs: Sequence[RecordRef]) -> list[AnyRecord]:
        """Return those of the records that exist and can be read, by one round trip."""
        found: list[AnyRecord] = []
        for ref, document in await self._documents(refs):
            with suppress(StoreRejected):
                found.append(decode(document, self._kind, ref))
        return found

    async def _documents(self, refs: Sequence[RecordRef]) -> list[tuple[RecordRef, bytes]]:
        pipeline = self._client.pipeline(transaction=False)
        for ref in refs:
            pipeline.get(name_of(ref))
        documents = await pipeline.execute()
        return [(ref, document) for ref, document in zip(refs, documents, strict=True) if document is not None]

    async def page(
        self, ids: Iterable[str], ref: Callable[[str], RecordRef], after: str, limit: int
    ) -> tuple[list[AnyRecord], str | None]:
        """Return at most `limit` of the records by id, from the one behind `after`, and where the next page begins.

        None: it is the last page.
        """
        rest = sorted({each for each in ids if each > after})
        found = await self.several([ref(each) for each in rest[:limit]])
        return sorted(found, key=lambda record: record.ref.id), rest[limit - 1] if len(rest) > limit else None

    async def add(self, record: AnyRecord, *, expires_at: datetime | None = None) -> bool:
        """Write a new record, until `expires_at` if that is given.

        Return False, and change nothing, if it exists already.
        """
        document = msgspec.json.encode(record)
        end = None if expires_at is None else math.ceil(expires_at.timestamp() * 1_000)
        return bool(await self._client.set(name_of(record.ref), document, nx=True, pxat=end))

    async def remove(self, ref: RecordRef) -> bool:
        """Remove the record, and announce that to every worker. Return True if it was there: once for each record."""
        removed = await self._client.delete(name_of(ref))
        await self._client.publish(CHANGES, msgspec.json.encode(ref))
        return bool(removed)

    async def change(self, ref: RecordRef, edit: Callable[[AnyRecord], AnyRecord]) -> AnyRecord:
        """Replace the record by what `edit` returns for it, and announce that to every worker.

        It is announced even if nothing differs: repeating a command repeats a notice that may have been lost. Raises
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
