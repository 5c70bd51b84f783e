"""The services by which operators come into the portal: links that are good once, and the sessions they begin."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from middlewares.auth.keys import (
    hash_secret,
    mint_operator_session,
    mint_sign_in_link,
    parse_operator_session,
    parse_sign_in_link,
)
from middlewares.auth.records import OperatorRecord, RecordRef
from proxy.control.developers.expiring import find_by_secret
from proxy.control.developers.session_store import SessionKind, SessionStore
from proxy.control.operators.records import OperatorLinkRecord, OperatorSessionRecord
from proxy.control.records import Client, Records

OPERATOR_SIGN_IN_PATH = "/portal/operator/sign-in/"
"""What the secret of a link stands behind in its URL."""


class RevokedOperator(Exception):
    """The operator is revoked, and may not sign in."""

    audit_code = "operator_revoked"


class OperatorLinks:
    """Makes, finds and uses up sign-in links of operators."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._pepper = pepper
        self._records = Records(client, OperatorLinkRecord)
        self._operators = Records(client, OperatorRecord)

    async def create(self, operator: str, lifetime: timedelta) -> tuple[OperatorLinkRecord, str]:
        """Create a link. Return it and its secret, which is not stored. Raises `UnknownRecord`, `RevokedOperator`."""
        owner = await self._operators.require(RecordRef("operator", operator))
        if owner.status != "active":
            raise RevokedOperator(f"operator {operator} is {owner.status}, and may not sign in")
        secret, parts = mint_sign_in_link()
        now = datetime.now(UTC)
        link = OperatorLinkRecord(
            parts.key_id, hash_secret(parts.secret, self._pepper), operator, now, expires_at=now + lifetime
        )
        await self._records.add(link, expires_at=link.expires_at)
        return link, secret

    async def find(self, secret: str) -> OperatorLinkRecord | None:
        """Return the link of a secret, which stays good; None if it is unknown, used or over."""
        parts = parse_sign_in_link(secret.encode(errors="replace"))
        return await find_by_secret(self._records, "operator-link", parts, self._pepper)

    async def take(self, link_id: str) -> bool:
        """Use up a link. Return True for the first who does."""
        return await self._records.remove(RecordRef("operator-link", link_id))


def operator_sessions_of(operator_id: str) -> str:
    """Return the Redis key of the sorted set of an operator's session ids, by their end."""
    return f"tollgate:operator-sessions:{{{operator_id}}}"


_KIND = SessionKind(OperatorSessionRecord, "operator-session", parse_operator_session, operator_sessions_of)


class OperatorSessions(SessionStore[OperatorSessionRecord]):
    """Begins, finds and ends sessions of operators. Who finds one has to check that its operator is active."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        super().__init__(client, pepper, _KIND)

    async def begin(
        self, operator: OperatorRecord, lifetime: timedelta, *, address: str, client: str, idle: timedelta
    ) -> tuple[OperatorSessionRecord, str]:
        """Begin a session. Return it and its token, which is not stored.

        It ends after `lifetime`, and before that once it was not used for `idle`, in whole seconds.
        """
        token, parts = mint_operator_session()
        now = datetime.now(UTC)
        session = OperatorSessionRecord(
            session_id=parts.key_id,
            hash=hash_secret(parts.secret, self._pepper),
            operator=operator.operator_id,
            created_at=now,
            expires_at=now + lifetime,
            address=address,
            client=client,
            idle_seconds=int(idle.total_seconds()),
        )
        await self.add(operator.operator_id, session)
        return session, token

    async def impersonate(self, session_id: str, client_id: str) -> None:
        """Show the pages of that app in this session from now on; an empty id: of none. Raises `UnknownRecord`."""
        await self.change(session_id, lambda session: replace(session, impersonates=client_id))
