"""The service for memberships: which developer has which role in which app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from middlewares.auth.records import AppRecord, RecordRef
from proxy.control.developers.records import DeveloperRecord, MemberRole, MembershipRecord
from proxy.control.records import Client, Records, indexed


def members_of(client_id: str) -> str:
    """Return the Redis key of the set of ids of developers who are, or were, members of an app."""
    return f"tollgate:app-members:{{{client_id}}}"


def apps_of(developer_id: str) -> str:
    """Return the Redis key of the set of client ids of which a developer is, or was, a member."""
    return f"tollgate:developer-apps:{{{developer_id}}}"


class Memberships:
    """Makes, finds and ends memberships. Index entries stay: whoever was removed may be added again at any moment."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._records = Records(client, MembershipRecord)
        self._apps = Records(client, AppRecord)
        self._developers = Records(client, DeveloperRecord)

    async def put(self, app: str, developer: str, role: MemberRole) -> MembershipRecord:
        """Give a developer this role in an app, in place of another one. Raises `UnknownRecord` for either."""
        ref = RecordRef("member", f"{app}/{developer}")
        added = await self.add(app, developer, role)
        return added or await self._records.change(ref, lambda record: replace(record, role=role))

    async def add(self, app: str, developer: str, role: MemberRole) -> MembershipRecord | None:
        """Give a developer this role in an app; None, and nothing changes, if it has one. Raises `UnknownRecord`."""
        await self._apps.require(RecordRef("app", app))
        await self._developers.require(RecordRef("developer", developer))
        member = MembershipRecord(app, developer, role, datetime.now(UTC))
        await self._client.sadd(members_of(app), developer)
        await self._client.sadd(apps_of(developer), app)
        return member if await self._records.add(member) else None

    async def get(self, app: str, developer: str) -> MembershipRecord | None:
        return await self._records.get(RecordRef("member", f"{app}/{developer}"))

    async def remove(self, app: str, developer: str) -> bool:
        """End a membership at once. Return False if there was none."""
        return await self._records.remove(RecordRef("member", f"{app}/{developer}"))

    async def of_app(self, app: str) -> Sequence[MembershipRecord]:
        """Return the members of an app, oldest first. Raises `UnknownRecord` for a missing app."""
        await self._apps.require(RecordRef("app", app))
        ids = await indexed(self._client, members_of(app))
        return await self._records.several([RecordRef("member", f"{app}/{each}") for each in ids])

    async def of_developer(self, developer: str) -> Sequence[MembershipRecord]:
        """Return the memberships of a developer, oldest first."""
        apps = await indexed(self._client, apps_of(developer))
        return await self._records.several([RecordRef("member", f"{each}/{developer}") for each in apps])
