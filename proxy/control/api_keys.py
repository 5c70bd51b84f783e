"""The service for API keys: create, list, change, rotate, revoke."""

import builtins
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Unpack

from middlewares.auth.keys import hash_secret, mint_key
from middlewares.auth.records import AppRecord, KeyRecord, RecordRef, UserRecord
from proxy.control.key_changes import KeyChange, changed, handed_out, shared_by_family, without_ended_increase
from proxy.control.records import FAMILIES, Client, Records, indexed, keys_of
from proxy.store.clients import CLIENT_ERRORS


class KeyEnded(Exception):
    """The key cannot be changed or rotated: it has ended, or was rotated before."""

    audit_code = "key_ended"


class _ChangedMeanwhile(Exception):
    """The key that is rotated was changed since it was read; `record` is what it is now."""

    def __init__(self, record: KeyRecord) -> None:
        self.record = record


class ApiKeys:
    """Makes, finds, changes, rotates and revokes API keys."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, KeyRecord)
        self._apps = Records(client, AppRecord)
        self._users = Records(client, UserRecord)

    async def create(
        self,
        app: str,
        *,
        user: str | None = None,
        **members: Unpack[KeyChange],
    ) -> tuple[KeyRecord, str]:
        """Create a key of an app, or of one of its users. Return it and its text, which is not stored.

        What is empty or left out of `members` narrows nothing. Raises `UnknownRecord` for a missing app or user,
        `UnusableMember`.
        """
        now = datetime.now(UTC)
        changed(_BLANK, members, now)
        await self._apps.require(RecordRef("app", app))
        if user is not None:
            await self._users.require(RecordRef("user", f"{app}/{user}"))
        text, key = mint_key()
        blank = KeyRecord(
            key_id=key.key_id,
            app=app,
            hash=hash_secret(key.secret, self._pepper),
            last4=text[-4:],
            created_at=now,
            user=user,
            family=key.key_id,
        )
        record = changed(blank, members, now)
        await self._add(record)
        return record, text

    async def change(self, key_id: str, **members: Unpack[KeyChange]) -> KeyRecord:
        """Change what is named in `members`, in every worker at once.

        Limits are changed of the keys before it, too, that still work beside it: they share its counters. Raises
        `UnknownRecord`, `KeyEnded` for a key that has ended or was rotated, and `UnusableMember`.
        """
        now = datetime.now(UTC)
        record = await self._records.change(
            RecordRef("key", key_id), lambda key: changed(_active(key, now, "change"), members, now)
        )
        if shared := shared_by_family(members):
            async for older in self._predecessors(record, now):
                await self._records.change(older.ref, lambda key: changed(key, shared, now))
        return record

    async def _predecessors(self, record: KeyRecord, now: datetime) -> AsyncIterator[KeyRecord]:
        """Yield the keys that were rotated to this one and have not ended, the latest first."""
        while record.replaces is not None:
            older = await self._records.get(RecordRef("key", record.replaces))
            if older is None or older.status != "active" or (older.expires_at is not None and older.expires_at <= now):
                return
            yield older
            record = older

    async def rotate(
        self, key_id: str, overlap: timedelta, *, expires_at: datetime | None = None
    ) -> tuple[KeyRecord, KeyRecord, str]:
        """Replace a key by a new one that may do the same. Both work for `overlap`, then the old one ends.

        They share what is counted of them, so that a rotation gives nobody more than the limits.

        The new one expires when the old one would have, unless `expires_at` says when. Return the old key, the new one,
        and the text of the new one, which is not stored. Raises `UnknownRecord` and `KeyEnded`.

        The new one is written first: where this is cut short, the old key goes on working, what was written is never
        listed, and the next rotation removes it.
        """
        ref = RecordRef("key", key_id)
        now = datetime.now(UTC)
        old = _active(await self._records.require(ref), now, "rotate")
        text, key = mint_key()
        new = replace(
            without_ended_increase(old, now),
            key_id=key.key_id,
            hash=hash_secret(key.secret, self._pepper),
            last4=text[-4:],
            created_at=now,
            expires_at=expires_at or old.expires_at,
            replaces=old.key_id,
            family=old.root,
        )

        def retire(record: KeyRecord) -> KeyRecord:
            if _active(record, now, "rotate") != old:
                raise _ChangedMeanwhile(record)
            ends, known = now + overlap, old.expires_at
            return replace(old, expires_at=min(ends, known) if known else ends, replaced_by=new.key_id)

        await self._client.hset(FAMILIES, new.key_id, new.family)
        await self._add(new)
        while True:
            try:
                retired = await self._records.change(ref, retire)
                break
            except _ChangedMeanwhile as change:
                old = change.record
                new = await self._records.change(
                    new.ref, partial(_as_successor, without_ended_increase(old, now), expires_at=expires_at)
                )
            except KeyEnded:  # another command rotated or ended it meanwhile
                await self._remove(new)
                raise
        with suppress(*CLIENT_ERRORS):  # whoever asked needs the text of the new key all the same
            for left in await self._keys_in(old.app):
                if left.replaces == old.key_id and left.key_id != new.key_id:
                    await self._remove(left)
        return retired, new, text

    async def _add(self, record: KeyRecord) -> None:
        await self._client.sadd(keys_of(record.app), record.key_id)
        await self._records.add(record)

    async def _remove(self, record: KeyRecord) -> None:
        """Remove a key that nobody was ever shown."""
        await self._records.remove(record.ref)
        await self._client.srem(keys_of(record.app), record.key_id)
        await self._client.hdel(FAMILIES, record.key_id)

    async def _keys_in(self, app: str) -> builtins.list[KeyRecord]:
        ids = await indexed(self._client, keys_of(app))
        return await self._records.several([RecordRef("key", key_id) for key_id in ids])

    async def get(self, key_id: str) -> KeyRecord | None:
        return await self._records.get(RecordRef("key", key_id))

    async def several(self, key_ids: Iterable[str]) -> list[KeyRecord]:
        """Return those of the keys that exist, whoever's they are, oldest first."""
        return await self._records.several([RecordRef("key", key_id) for key_id in key_ids])

    async def list(self, app: str) -> list[KeyRecord]:
        """Return all keys of an app and its users, oldest first. Raises `UnknownRecord` for a missing app."""
        await self._apps.require(RecordRef("app", app))
        return handed_out(await self._keys_in(app))

    async def revoke(self, key_id: str) -> KeyRecord:
        """End a key for good, in every worker at once. Raises `UnknownRecord`."""
        return await self._records.change(RecordRef("key", key_id), lambda key: replace(key, status="revoked"))


_BLANK = KeyRecord("", "", "", "", datetime.min.replace(tzinfo=UTC))
"""The members of a key that is to be created are tried on this, before anything is written."""


def _as_successor(old: KeyRecord, new: KeyRecord, expires_at: datetime | None) -> KeyRecord:
    """Return the new key with all that a change of the old one may have changed; `expires_at` is its own, if any."""
    return replace(
        new,
        expires_at=expires_at or old.expires_at,
        name=old.name,
        description=old.description,
        limits=old.limits,
        increase=old.increase,
        workloads=old.workloads,
        models=old.models,
        cidrs=old.cidrs,
        origins=old.origins,
        streams=old.streams,
    )


def _active(key: KeyRecord, now: datetime, action: str) -> KeyRecord:
    """Return the key. Raises `KeyEnded` if it has ended."""
    if key.replaced_by is not None:
        raise KeyEnded(f"key {key.key_id} was rotated before; the key to {action} now is {key.replaced_by}")
    if key.status != "active" or (key.expires_at is not None and key.expires_at <= now):
        raise KeyEnded(f"key {key.key_id} has ended; `tollgate keys create` makes a new one")
    return key
