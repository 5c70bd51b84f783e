"""The service for sessions of developers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from middlewares.auth.keys import hash_secret, mint_session, parse_session
from proxy.control.developers.records import DeveloperRecord, SessionRecord
from proxy.control.developers.session_store import SessionKind, SessionStore
from proxy.control.records import Client


def sessions_of(developer_id: str) -> str:
    """Return the Redis key of the sorted set of a developer's session ids, by their end."""
    return f"tollgate:developer-sessions:{{{developer_id}}}"


_KIND = SessionKind(SessionRecord, "session", parse_session, sessions_of)


class DeveloperSessions(SessionStore[SessionRecord]):
    """Begins, finds and ends sessions of developers."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        super().__init__(client, pepper, _KIND)

    async def begin(
        self,
        developer: DeveloperRecord,
        lifetime: timedelta,
        *,
        address: str,
        client: str,
        idle: timedelta | None = None,
    ) -> tuple[SessionRecord, str]:
        """Begin a session. Return it and its token, which is not stored.

        It ends after `lifetime`, and before that once it was not used for `idle`, in whole seconds.
        """
        token, parts = mint_session()
        now = datetime.now(UTC)
        session = SessionRecord(
            session_id=parts.key_id,
            hash=hash_secret(parts.secret, self._pepper),
            developer=developer.developer_id,
            generation=developer.generation,
            created_at=now,
            expires_at=now + lifetime,
            address=address,
            client=client,
            idle_seconds=int(idle.total_seconds()) if idle else 0,
        )
        await self.add(developer.developer_id, session)
        return session, token

    async def list(self, developer: DeveloperRecord) -> Sequence[SessionRecord]:
        """Return the sessions of a developer, oldest first."""
        found = await self.of_owner(developer.developer_id)
        return [session for session in found if session.generation == developer.generation]
