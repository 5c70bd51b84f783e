"""Sessions of one kind of people in Redis: opaque tokens of which there are hashes, and an end that comes by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Literal, TypeVar

from middlewares.auth.keys import ApiKey
from middlewares.auth.records import RecordRef
from proxy.control.developers.expiring import OwnedRecords, find_by_secret
from proxy.control.developers.records import SessionRecord
from proxy.control.operators.records import OperatorSessionRecord
from proxy.control.records import Client, Records

MOST_SESSIONS = 20
"""Most sessions of one person; the one that would end first makes room for the next."""

AnySession = TypeVar("AnySession", SessionRecord, OperatorSessionRecord)


@dataclass(frozen=True, slots=True)
class SessionKind(Generic[AnySession]):
    """What tells the sessions of one kind of people from those of others."""

    record: type[AnySession]
    name: Literal["session", "operator-session"]
    """Kind of their records."""
    parse: Callable[[bytes], ApiKey | None]
    """Returns the parts of a token of this kind; None if it is of another."""
    index: Callable[[str], str]
    """Returns the Redis key of the sorted set of a person's session ids, by their end."""


def last_use_of(session_id: str) -> str:
    """Return the Redis key of the time at which a session that can be idle was last used."""
    return f"tollgate:session-used:{{{session_id}}}"


class SessionStore(Generic[AnySession]):
    """Adds, finds and ends sessions."""

    def __init__(self, client: Client, pepper: bytes | None, kind: SessionKind[AnySession]) -> None:
        self._client = client
        self._pepper = pepper
        self._kind: SessionKind[AnySession] = kind
        self._records: Records[AnySession] = Records(client, kind.record)
        self._owned: OwnedRecords[AnySession] = OwnedRecords(client, self._records, kind.name, kind.index)

    async def add(self, owner: str, session: AnySession) -> None:
        """Add a session of that person; past `MOST_SESSIONS` others end."""
        if session.idle_seconds:
            await self._client.set(last_use_of(session.session_id), int(time.time()), ex=session.idle_seconds)
        await self._owned.add(owner, session, most=MOST_SESSIONS)

    async def find(self, token: bytes, *, is_use: bool = True) -> AnySession | None:
        """Return the session of a token; None if it is unknown, wrong or over.

        It is a use of the session unless `is_use` is False.
        """
        session = await find_by_secret(self._records, self._kind.name, self._kind.parse(token), self._pepper)
        if session is None:
            return None
        alive = await self._use(session) if is_use else not await self._is_idle(session)
        return session if alive else None

    async def get(self, session_id: str) -> AnySession | None:
        """Return the session, which is a use of it; None if it is unknown or over."""
        session = await self._records.get(self._ref(session_id))
        if session is None or session.expires_at <= datetime.now(UTC):
            return None
        return session if await self._use(session) else None

    async def end(self, owner: str, session_id: str) -> bool:
        """End a session of a person, in every worker at once. Return False if the person has none of that id."""
        return await self._owned.end(owner, session_id)

    async def of_owner(self, owner: str) -> Sequence[AnySession]:
        """Return the sessions of a person that are not idle, oldest first."""
        return [session for session in await self._owned.of_owner(owner) if not await self._is_idle(session)]

    async def change(self, session_id: str, edit: Callable[[AnySession], AnySession]) -> AnySession:
        """Replace a session by what `edit` returns for it. Raises `UnknownRecord`."""
        return await self._records.change(self._ref(session_id), edit)

    async def _use(self, session: AnySession) -> bool:
        """Note that a session is used. Return False if it was idle for too long."""
        if not session.idle_seconds:
            return True
        name = last_use_of(session.session_id)
        return bool(await self._client.set(name, int(time.time()), ex=session.idle_seconds, xx=True))

    async def _is_idle(self, session: AnySession) -> bool:
        return bool(session.idle_seconds) and not await self._client.exists(last_use_of(session.session_id))

    def _ref(self, session_id: str) -> RecordRef:
        return RecordRef(self._kind.name, session_id)
