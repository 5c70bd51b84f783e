"""The service for developers: sign up, find, list, approve, suspend."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from middlewares.auth.keys import new_id
from middlewares.auth.records import RecordRef
from middlewares.auth.user_fields import folded
from proxy.control.developers.records import DeveloperRecord, DeveloperStatus, ForeignIdentity, Identity
from proxy.control.records import Client, Records, indexed
from proxy.store.clients import now_ms

DEVELOPERS = "tollgate:developers"
_DAYS_KEPT = 2 * 86_400


def name_of_identity(identity: Identity) -> str:
    """Return the Redis key of the id of the developer who owns a wallet, or is somebody at a provider."""
    if isinstance(identity, str):
        return f"tollgate:wallet:{{{identity.lower()}}}"
    return f"tollgate:subject:{{{_digest(identity.issuer, identity.subject)}}}"


def name_of_email(email: str) -> str:
    """Return the Redis key of the id of the developer that was added by an e-mail address."""
    return f"tollgate:developer-email:{{{_digest(folded(email))}}}"


def _digest(*parts: str) -> str:
    """Return a hash of texts that may hold any character, and that belong in no name of a key."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Developers:
    """Makes, finds and changes developers. A wallet, or a subject of a provider, is one developer for ever."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._records = Records(client, DeveloperRecord)

    async def create(
        self,
        identity: Identity,
        *,
        status: DeveloperStatus = "active",
        email: str | None = None,
        due_app: str | None = None,
    ) -> tuple[DeveloperRecord, bool]:
        """Return the developer of that identity, and True if it was created; one that existed stays as it is."""
        wallet, foreign = (identity.lower(), None) if isinstance(identity, str) else (None, identity)
        return await self._create(
            name_of_identity(identity),
            lambda developer_id: DeveloperRecord(
                developer_id, wallet, datetime.now(UTC), status, email, identity=foreign, due_app=due_app
            ),
        )

    async def create_by_email(self, email: str) -> tuple[DeveloperRecord, bool]:
        """Return the developer that was added by that e-mail address, and True if it was created.

        It signs in by links, and at the provider once that vouches for the address; see `claim`.
        """
        return await self._create(
            name_of_email(email),
            lambda developer_id: DeveloperRecord(developer_id, None, datetime.now(UTC), email=email),
        )

    async def claim(self, email: str, identity: ForeignIdentity) -> DeveloperRecord | None:
        """Let whom a provider names be the developer that was added by an address; None if there is no such developer.

        Only the first identity that claims an address has it: the address may be somebody else's one day. The caller
        knows that the address is verified.
        """
        developer_id = await self._id(name_of_email(email))
        if developer_id is None:
            return None
        record = await self._change(
            developer_id, lambda found: found if found.identity else replace(found, identity=identity)
        )
        if record.identity != identity:
            return None
        await self._client.set(name_of_identity(identity), developer_id, nx=True)
        return record

    async def _create(self, name: str, make: Callable[[str], DeveloperRecord]) -> tuple[DeveloperRecord, bool]:
        await self._client.set(name, f"dev_{new_id()}", nx=True)
        developer_id = cast("bytes", await self._client.get(name)).decode()  # it is never removed
        developer = make(developer_id)
        await self._client.sadd(DEVELOPERS, developer_id)
        if await self._records.add(developer):
            return developer, True
        return await self.get(developer_id) or developer, False

    async def get(self, developer_id: str) -> DeveloperRecord | None:
        return await self._records.get(RecordRef("developer", developer_id))

    async def require(self, developer_id: str) -> DeveloperRecord:
        """Return the developer. Raises `UnknownRecord`."""
        return await self._records.require(RecordRef("developer", developer_id))

    async def find(self, identity: Identity) -> DeveloperRecord | None:
        """Return the developer of an identity, None if there is none."""
        developer_id = await self._id(name_of_identity(identity))
        return None if developer_id is None else await self.get(developer_id)

    async def _id(self, name: str) -> str | None:
        found = cast("bytes | None", await self._client.get(name))
        return None if found is None else found.decode()

    async def list(self) -> list[DeveloperRecord]:
        """Return all developers, oldest first."""
        ids = await indexed(self._client, DEVELOPERS)
        return await self._records.several([RecordRef("developer", each) for each in ids])

    async def page(self, after: str, limit: int) -> tuple[Sequence[DeveloperRecord], str | None]:
        """Return at most `limit` developers by id, from the one behind `after`, and where the next page begins.

        None: it is the last page.
        """
        ids = await indexed(self._client, DEVELOPERS)
        return await self._records.page(ids, lambda each: RecordRef("developer", each), after, limit)

    async def activate(self, developer_id: str) -> DeveloperRecord:
        """Approve a developer that is pending, or resume one that is suspended. Raises `UnknownRecord`."""
        return await self._change(developer_id, lambda record: replace(record, status="active"))

    async def suspend(self, developer_id: str) -> DeveloperRecord:
        """Refuse a developer, and end its sessions for good, in every worker at once. Raises `UnknownRecord`."""
        return await self._change(
            developer_id, lambda record: replace(record, status="suspended", generation=record.generation + 1)
        )

    async def has_app(self, developer_id: str) -> DeveloperRecord:
        """Record that the app that was due is made. Raises `UnknownRecord`."""
        return await self._change(developer_id, lambda record: replace(record, due_app=None))

    async def end_sessions(self, developer_id: str) -> DeveloperRecord:
        """End all sessions of a developer, in every worker at once. Raises `UnknownRecord`."""
        return await self._change(developer_id, lambda record: replace(record, generation=record.generation + 1))

    async def count_sign_up(self, most: int) -> bool:
        """Count a sign-up of the UTC day that it is for Redis; return False if there were `most` already."""
        today = datetime.fromtimestamp(await now_ms(self._client) // 1_000, UTC).date()
        name = f"tollgate:sign-ups:{{{today.isoformat()}}}"
        await self._client.set(name, 0, ex=_DAYS_KEPT, nx=True)
        return int(await self._client.incr(name)) <= most

    async def _change(self, developer_id: str, edit: Callable[[DeveloperRecord], DeveloperRecord]) -> DeveloperRecord:
        return await self._records.change(RecordRef("developer", developer_id), edit)
