"""Developers by what they present: the token of a session, or a JWT that was issued in one.

Each is looked up anew, so that the end of a session, a suspension or a new role counts in every worker with the next
request: a developer calls a few times a minute, and no request to a gateway passes here.
"""

from __future__ import annotations

from dataclasses import dataclass

from middlewares.auth.compact import TokenRefused
from middlewares.auth.jwt import TokenOfOthers, TokenVerifier
from middlewares.exchange import Refusal
from proxy.control.apps import Apps
from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import DeveloperRecord, MemberRole, SessionRecord
from proxy.control.developers.sessions import DeveloperSessions
from proxy.identity.token_issuer import ADMIN, READ, USERS_READ, USERS_TOKEN, USERS_WRITE, covered

_CHALLENGE = b'Bearer realm="tollgate", error="invalid_token"'
_SESSION_PREFIX = b"tgd_"

ROLE_SCOPES: dict[MemberRole, frozenset[str]] = {
    "owner": covered({ADMIN}),
    "developer": covered({READ, USERS_READ, USERS_WRITE, USERS_TOKEN}),
    "billing": covered({READ}),
    "viewer": covered({READ}),
}
"""What members may do in their app, in words of OAuth; none of it is billable work."""


@dataclass(frozen=True, slots=True)
class SignedInDeveloper:
    """A developer, and the session that its credential belongs to."""

    developer: DeveloperRecord
    session: SessionRecord


@dataclass(frozen=True, slots=True)
class DeveloperCredentials:
    """Finds developers and their roles. All methods raise what the client of Redis does."""

    tokens: TokenVerifier
    sessions: DeveloperSessions
    developers: Developers
    memberships: Memberships
    apps: Apps

    async def judge(self, credential: bytes, *, is_use: bool = True) -> SignedInDeveloper | None:
        """Return the developer; None if the credential is of another kind. Raises `Refusal` (401).

        It is a use of the session, which keeps it from ending idle, unless `is_use` is False.
        """
        if credential.startswith(_SESSION_PREFIX):
            session = await self.sessions.find(credential, is_use=is_use)
        elif credential.count(b".") == 2:
            try:
                _, claims = self.tokens.claims(credential)
            except TokenOfOthers:
                return None
            except TokenRefused as refused:
                raise _refused(refused.code, str(refused), refused.status) from None
            session = await self.sessions.get(str(claims.get("sid")))
        else:
            return None
        developer = None if session is None else await self.developers.get(session.developer)
        if session is None or developer is None or session.generation != developer.generation:
            raise _refused("session_ended", "The session is unknown, or has ended; sign in again.")
        if developer.status != "active":
            raise _refused("developer_suspended", "The developer is suspended.")
        return SignedInDeveloper(developer, session)

    async def scopes_in(self, app: str, developer: DeveloperRecord) -> frozenset[str]:
        """Return what a developer may do in an app. Raises `Refusal`: 404 unless it is a member, 403 if suspended."""
        member = await self.memberships.get(app, developer.developer_id)
        record = None if member is None else await self.apps.get(app)
        if member is None or record is None:
            raise Refusal(404, "unknown_id", "There is no such app.")
        if record.status != "active":
            raise Refusal(403, "app_suspended", "The app is suspended.")
        return ROLE_SCOPES[member.role]


def _refused(code: str, detail: str, status: int = 401) -> Refusal:
    return Refusal(status, code, detail, headers=[(b"www-authenticate", _CHALLENGE)] if status == 401 else [])
