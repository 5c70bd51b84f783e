"""The service for sessions of developers: opaque tokens of which Redis has hashes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from middlewares.auth.keys import hash_secret, matches, mint_session, parse_session
from middlewares.auth.records import RecordRef
from proxy.control.developers.records import DeveloperRecord, SessionRecord
from proxy.control.records import Client, Records

MOST_SESSIONS = 20
"""Most sessions of one developer; the one that would end first makes room for the next."""


def sessions_of(developer_id: str) -> str:
    """Return the Redis key of the sorted set of a developer's session ids, by their end."""
    return f"tollgate:developer-sessions:{{{developer_id}}}"


def last_use_of(session_id: str) -> str:
    """Return the Redis key of the time at which a session that can be idle was last used."""
    return f"tollgate:session-used:{{{session_id}}}"


class DeveloperSessions:
    """Begins, finds and ends sessions."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, SessionRecord)

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
        if session.idle_seconds:
            await self._client.set(last_use_of(session.session_id), int(time.time()), ex=session.idle_seconds)
        index = sessions_of(developer.developer_id)
        await self._client.zremrangebyscore(index, "-inf", time.time() * 1_000)
        await self._client.zadd(index, {session.session_id: session.expires_at.timestamp() * 1_000})
        await self._records.add(session, expires_at=session.expires_at)
        for each in await self._ids(developer.developer_id, last=-MOST_SESSIONS - 1):
            await self.end(developer.developer_id, each)
        return session, token

    async def find(self, token: bytes, *, is_use: bool = True) -> SessionRecord | None:
        """Return the session of a token; None if it is unknown, wrong or over.

        It is a use of the session unless `is_use` is False.
        """
        parts = parse_session(token)
        session = None if parts is None else await self._unexpired(parts.key_id)
        if parts is None or session is None or not matches(parts.secret, session.hash, self._pepper):
            return None
        alive = await self._use(session) if is_use else not await self._is_idle(session)
        return session if alive else None

    async def get(self, session_id: str) -> SessionRecord | None:
        """Return the session, which is a use of it; None if it is unknown or over."""
        session = await self._unexpired(session_id)
        return session if session is not None and await self._use(session) else None

    async def _unexpired(self, session_id: str) -> SessionRecord | None:
        session = await self._records.get(RecordRef("session", session_id))
        return session if session is not None and session.expires_at > datetime.now(UTC) else None

    async def _use(self, session: SessionRecord) -> bool:
        """Note that a session is used. Return False if it was idle for too long."""
        if not session.idle_seconds:
            return True
        name = last_use_of(session.session_id)
        return bool(await self._client.set(name, int(time.time()), ex=session.idle_seconds, xx=True))

    async def _is_idle(self, session: SessionRecord) -> bool:
        return bool(session.idle_seconds) and not await self._client.exists(last_use_of(session.session_id))

    async def end(self, developer_id: str, session_id: str) -> bool:
        """End a session of a developer, in every worker at once. Return False if the developer has none of that id."""
        if not await self._client.zrem(sessions_of(developer_id), session_id):
            return False
        await self._records.remove(RecordRef("session", session_id))
        return True

    async def list(self, developer: DeveloperRecord) -> Sequence[SessionRecord]:
        """Return the sessions of a developer, oldest first."""
        ids = await self._ids(developer.developer_id)
        found = await self._records.several([RecordRef("session", each) for each in ids])
        living = [session for session in found if session.generation == developer.generation]
        return [session for session in living if not await self._is_idle(session)]

    async def _ids(self, developer_id: str, last: int = -1) -> Sequence[str]:
        found: Any = await self._client.zrange(sessions_of(developer_id), 0, last)
        return [each.decode() for each in found]
