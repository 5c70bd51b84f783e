"""Tollgate's own access tokens: their scopes, claims and signature."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jwt

from config.control import IssuerSettings
from config.issuers import Issuer
from middlewares.auth.verdict import INFERENCE, SIGN_JOB
from proxy.identity.issuer_keys import IssuerKeys
from proxy.identity.signing_keys import SigningKey, private_of

ISSUER_PATH = "/api/v1/oidc"
_DEVELOPER_AUDIENCE_PATH = "/api/v1"
"""Audience of developers' tokens below the origin: the API, so that no route of a gateway takes them."""

ADMIN, READ = "admin", "read"
USERS_READ, USERS_WRITE, USERS_TOKEN = "users:read", "users:write", "users:token"
CONTROL_SCOPES = frozenset({ADMIN, READ, USERS_READ, USERS_WRITE, USERS_TOKEN})
USER_SCOPES = frozenset({INFERENCE, SIGN_JOB})
"""Scopes that a token of a user may have."""
APP_SCOPES = CONTROL_SCOPES | USER_SCOPES
"""Scopes that a token of an app may have."""
_IMPLIED = {
    ADMIN: CONTROL_SCOPES,
    READ: frozenset({READ, USERS_READ}),
    USERS_WRITE: frozenset({USERS_WRITE, USERS_READ}),
}

_TYPE = "at+jwt"  # RFC 9068 section 2.1


def covered(scopes: Iterable[str]) -> frozenset[str]:
    """Return the scopes with those that they include: `admin` all of the control plane, but no work."""
    return frozenset(each for scope in scopes for each in _IMPLIED.get(scope, (scope,)))


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token, its scope as a client is told, and its life in seconds."""

    text: str = field(repr=False)
    scope: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class TokenSubject:
    """For whom a token speaks. `user` None: the app itself; `key`: the API key it was issued for."""

    app: str
    user: str | None = None
    key: str | None = None
    external_id: str | None = None


class TokenIssuer:
    """Signs tokens with the current key."""

    def __init__(
        self, origin: str, keys: IssuerKeys, settings: IssuerSettings, clock: Callable[[], float] = time.time
    ) -> None:
        """`origin` is the one under which clients reach the public listener."""
        self.url = origin + ISSUER_PATH
        self._developer_audience = origin + _DEVELOPER_AUDIENCE_PATH
        self.keys = keys
        self._settings = settings
        self._clock = clock

    def issue(self, subject: TokenSubject, scopes: Iterable[str], *, until: float | None = None) -> IssuedToken:
        """Return a new token, which ends at `until`, in Unix seconds, where its own life would be longer."""
        of_app = subject.user is None and subject.key is None
        seconds = self._settings.access_token_seconds if of_app else self._settings.user_token_seconds
        scope, now = " ".join(sorted(scopes)), int(self._clock())
        if until is not None:
            seconds = min(seconds, int(until) - now)
        claims = claims_of(self.url, subject, scope, now, seconds)
        return IssuedToken(signed(self.keys.signing(), claims), scope, seconds)

    def issue_for_developer(self, developer: str, session: str, address: str) -> IssuedToken:
        """Return a token for a developer that is signed in, which ends with that session."""
        now, seconds = int(self._clock()), self._settings.developer_token_seconds
        claims = {
            "iss": self.url,
            "aud": self._developer_audience,
            "sub": developer,
            "client_id": developer,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + seconds,
            "sid": session,
            "address": address,
        }
        return IssuedToken(signed(self.keys.signing(), claims), "", seconds)


def claims_of(issuer: str, subject: TokenSubject, scope: str, now: int, seconds: int) -> dict[str, Any]:
    """Return the claims of a new token (RFC 9068 section 2.2)."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": issuer,
        "sub": subject.user or subject.app,
        "client_id": subject.app,
        "jti": secrets.token_urlsafe(16),
        "iat": now,
        "exp": now + seconds,
        "scope": scope,
    }
    if subject.key is not None:
        claims["key_id"] = subject.key
    if subject.user is not None:
        claims["user_type"] = "app_user"
    if subject.external_id is not None:
        claims["external_user_id"] = subject.external_id
    return claims


def signed(key: SigningKey, claims: dict[str, Any]) -> str:
    """Return the token of these claims (30 microseconds for ES256, a millisecond for RS256)."""
    return jwt.encode(claims, private_of(key.private_pem), key.algorithm, {"kid": key.kid, "typ": _TYPE})


def own_issuer(origin: str, keys: IssuerKeys) -> Issuer:
    """Return our own issuer as verifiers know issuers: by its public keys, looked at every five seconds."""
    return Issuer(
        issuer=origin + ISSUER_PATH,
        audience=origin + ISSUER_PATH,
        algorithms=("ES256", "RS256"),
        jwks_file=keys.files.public,
        refresh_seconds=5,
        cool_down_seconds=5,
        app_claim="client_id",
        user_claim="sub",
    )


def issuer_for_developers(own: Issuer) -> Issuer:
    """Return our own issuer as the API knows it: for tokens of developers."""
    origin = own.issuer.removesuffix(ISSUER_PATH)
    return own.model_copy(update={"audience": origin + _DEVELOPER_AUDIENCE_PATH})
