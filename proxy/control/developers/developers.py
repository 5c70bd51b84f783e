"""The service for developers: sign up, find, list, approve, suspend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from middlewares.auth.keys import new_id
from middlewares.auth.records import RecordRef
from proxy.control.developers.records import DeveloperRecord, DeveloperStatus
from proxy.control.records import Client, Records, indexed

DEVELOPERS = "tollgate:developers"
_DAYS_KEPT = 2 * 86_400


def wallet_of(address: str) -> str:
    """Return the Redis key of the id of the developer who owns a wallet."""
    return f"tollgate:wallet:{{{address.lower()}}}"


class Developers:
    """Makes, finds and changes developers. A wallet belongs to one developer for ever."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._records = Records(client, DeveloperRecord)

    async def create(
        self, wallet: str, *, status: DeveloperStatus = "active", email: str | None = None
    ) -> tuple[DeveloperRecord, bool]:
        """Return the developer of that wallet, and True if it was created; one that existed stays as it is."""
        await self._client.set(wallet_of(wallet), f"dev_{new_id()}", nx=True)
        developer_id = cast("bytes", await self._client.get(wallet_of(wallet))).decode()  # it is never removed
        developer = DeveloperRecord(developer_id, wallet.lower(), datetime.now(UTC), status, email)
        await self._client.sadd(DEVELOPERS, developer_id)
        if await self._records.add(developer):
            return developer, True
        return await self.get(developer_id) or developer, False

    async def get(self, developer_id: str) -> DeveloperRecord | None:
        return await self._records.get(RecordRef("developer", developer_id))

    async def require(self, developer_id: str) -> DeveloperRecord:
        """Return the developer. Raises `UnknownRecord`."""
        return await self._records.require(RecordRef("developer", developer_id))

    async def find(self, wallet: str) -> DeveloperRecord | None:
        """Return the developer who owns a wallet, None if there is none."""
        developer_id = cast("bytes | None", await self._client.get(wallet_of(wallet)))
        return None if developer_id is None else await self.get(developer_id.decode())

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

    async def end_sessions(self, developer_id: str) -> DeveloperRecord:
        """End all sessions of a developer, in every worker at once. Raises `UnknownRecord`."""
        return await self._change(developer_id, lambda record: replace(record, generation=record.generation + 1))

    async def count_sign_up(self, most: int) -> bool:
        """Count a sign-up of this UTC day; return False if there were `most` already."""
        name = f"tollgate:sign-ups:{{{datetime.now(UTC).date().isoformat()}}}"
        await self._client.set(name, 0, ex=_DAYS_KEPT, nx=True)
        return int(await self._client.incr(name)) <= most

    async def _change(self, developer_id: str, edit: Callable[[DeveloperRecord], DeveloperRecord]) -> DeveloperRecord:
        return await self._records.change(RecordRef("developer", developer_id), edit)
