"""The service for invitations: codes that make one developer a member of an app, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from middlewares.auth.keys import hash_secret, mint_invite, parse_invite
from middlewares.auth.records import AppRecord, RecordRef
from proxy.control.developers.expiring import find_by_secret
from proxy.control.developers.records import InviteRecord, MemberRole
from proxy.control.records import Client, Records, UnknownRecord, indexed

INVITES = "tollgate:invites"


class Invites:
    """Makes, finds and redeems invitations."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, InviteRecord)
        self._apps = Records(client, AppRecord)

    async def create(self, app: str, role: MemberRole, lifetime: timedelta) -> tuple[InviteRecord, str]:
        """Create an invitation. Return it and its code, which is not stored. Raises `UnknownRecord` for the app."""
        await self._apps.require(RecordRef("app", app))
        code, parts = mint_invite()
        now = datetime.now(UTC)
        invite = InviteRecord(
            parts.key_id, hash_secret(parts.secret, self._pepper), app, role, now, expires_at=now + lifetime
        )
        await self._client.sadd(INVITES, invite.invite_id)
        await self._records.add(invite, expires_at=invite.expires_at)
        return invite, code

    async def find(self, code: str) -> InviteRecord | None:
        """Return the invitation of a code, None if it is unknown, used or over."""
        parts = parse_invite(code.encode(errors="replace"))
        return await find_by_secret(self._records, "invite", parts, self._pepper)

    async def claim(self, invite_id: str, identity: str) -> bool:
        """Keep an invitation for the first identity that claims it, by its Redis key, until it is taken.

        Return True for that one, however often it comes: its sign-in may be cut off before it is a member.
        """

        def keep(invite: InviteRecord) -> InviteRecord:
            return invite if invite.claimed_by else replace(invite, claimed_by=identity)

        try:
            return (await self._records.change(RecordRef("invite", invite_id), keep)).claimed_by == identity
        except UnknownRecord:
            return False

    async def take(self, invite_id: str) -> bool:
        """Use up an invitation. Return True for the first who does."""
        taken = await self._records.remove(RecordRef("invite", invite_id))
        await self._client.srem(INVITES, invite_id)
        return taken

    async def list(self) -> Sequence[InviteRecord]:
        """Return the invitations that are open, oldest first; forget those that are over."""
        ids = await indexed(self._client, INVITES)
        found = await self._records.several([RecordRef("invite", each) for each in ids])
        over = set(ids) - {invite.invite_id for invite in found}
        if over:
            await self._client.srem(INVITES, *over)
        return found
