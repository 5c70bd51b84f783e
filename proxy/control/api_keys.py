"""The service for API keys: create, list, rotate, revoke."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from config.workloads import Workload
from middlewares.auth.keys import hash_secret, mint_key
from middlewares.auth.records import AppRecord, KeyRecord, RecordRef, UserRecord
from proxy.control.records import Client, Records, keys_of


class KeyEnded(Exception):
    """The key cannot be rotated: it has ended, or was rotated before."""

    audit_code = "key_ended"


class ApiKeys:
    """Makes, finds, rotates and revokes API keys."""

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
        name: str = "",
        expires_at: datetime | None = None,
        workloads: Iterable[Workload] = (),
        models: Iterable[str] = (),
        cidrs: Iterable[str] = (),
    ) -> tuple[KeyRecord, str]:
        """Create a key of an app, or of one of its users. Return it and its text, which is not stored.

        Empty `workloads`, `models` or `cidrs` allow everything. Raises `UnknownRecord` for a missing app or user,
        `ValueError` for an invalid network.
        """
        networks = tuple(str(ip_network(cidr)) for cidr in cidrs)
        await self._apps.require(RecordRef("app", app))
        if user is not None:
            await self._users.require(RecordRef("user", f"{app}/{user}"))
        text, key = mint_key()
        record = KeyRecord(
            key_id=key.key_id,
            app=app,
            hash=hash_secret(key.secret, self._pepper),
            last4=text[-4:],
            created_at=datetime.now(UTC),
            name=name,
            user=user,
            expires_at=expires_at,
            workloads=frozenset(workloads) or None,
            models=frozenset(models) or None,
            cidrs=networks or None,
        )
        await self._add(record)
        return record, text

    async def rotate(
        self, key_id: str, overlap: timedelta, *, expires_at: datetime | None = None
    ) -> tuple[KeyRecord, KeyRecord, str]:
        """Replace a key by a new one that may do the same. Both work for `overlap`, then the old one ends.

        The new one expires when the old one would have, unless `expires_at` says when. Return the old key, the new one,
        and the text of the new one, which is not stored. Raises `UnknownRecord` and `KeyEnded`.
        """
        ref = RecordRef("key", key_id)
        now = datetime.now(UTC)
        old = _active(await self._records.require(ref), now)
        text, key = mint_key()
        new = replace(
            old,
            key_id=key.key_id,
            hash=hash_secret(key.secret, self._pepper),
            last4=text[-4:],
            created_at=now,
            expires_at=expires_at or old.expires_at,
        )

        def retire(record: KeyRecord) -> KeyRecord:
            ends = now + overlap
            known = _active(record, now).expires_at
            return replace(record, expires_at=min(ends, known) if known else ends, replaced_by=new.key_id)

        await self._add(new)  # first: if the command is cut short here, the old key goes on working
        try:
            return await self._records.change(ref, retire), new, text
        except KeyEnded:  # another command rotated or ended it meanwhile
            await self.revoke(new.key_id)
            raise

    async def _add(self, record: KeyRecord) -> None:
        await self._client.sadd(keys_of(record.app), record.key_id)
        await self._records.add(record)

    async def get(self, key_id: str) -> KeyRecord | None:
        return await self._records.get(RecordRef("key", key_id))

    async def list(self, app: str) -> list[KeyRecord]:
        """Return all keys of an app and its users, oldest first. Raises `UnknownRecord` for a missing app."""
        await self._apps.require(RecordRef("app", app))
        ids = [key_id.decode() async for key_id in self._client.sscan_iter(keys_of(app), count=1_000)]
        return await self._records.several([RecordRef("key", key_id) for key_id in dict.fromkeys(ids)])

    async def revoke(self, key_id: str) -> KeyRecord:
        """End a key for good, in every worker at once. Raises `UnknownRecord`."""
        return await self._records.change(RecordRef("key", key_id), lambda key: replace(key, status="revoked"))


def _active(key: KeyRecord, now: datetime) -> KeyRecord:
    """Return the key. Raises `KeyEnded` if it has ended."""
    if key.replaced_by is not None:
        raise KeyEnded(f"key {key.key_id} was rotated before; the key to rotate now is {key.replaced_by}")
    if key.status != "active" or (key.expires_at is not None and key.expires_at <= now):
        raise KeyEnded(f"key {key.key_id} has ended; `tollgate keys create` makes a new one")
    return key
