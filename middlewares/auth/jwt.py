"""JWTs of configured issuers: verified by keys, algorithms and claims that the operator fixed, never by the token's."""

import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from config.access import Issuer
from middlewares.auth.jwks import KeySets

MAX_TOKEN_BYTES = 8_192

_REQUIRED = ["iss", "aud", "exp", "sub"]
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Accepted `typ` values, if any is given: other kinds of signed statements are no access tokens (RFC 8725 3.11)."""
_LATEST = 2**53
"""No later expiry is told apart: JSON numbers know no end, floats do."""
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a verified token speaks for."""

    app: str
    user: str
    plan: str | None
    """None: the plan of the app."""
    expires_at: int
    """Unix seconds, leeway included."""


class TokenRefused(Exception):
    """The token proves nothing. The message holds nothing of the token."""

    status = 401
    code = "invalid_token"
    memorable = False


class TokenExpired(TokenRefused):
    """It was good once and will never be again."""

    code = "token_expired"
    memorable = True


class SigningKeyUnknown(TokenRefused):
    """Its signing key is not known yet; it may be after the next refresh of the key set."""


class IssuerUnavailable(TokenRefused):
    """The keys of its issuer could never be loaded, so nothing can be said about it."""

    status = 503
    code = "issuer_unavailable"


class TokenVerifier:
    """Verifies tokens against the configured issuers, without any I/O (30-50 microseconds for RSA)."""

    def __init__(self, issuers: Sequence[Issuer], keys: KeySets) -> None:
        self._issuers = tuple(issuers)
        self._keys = keys

    def verify(self, token: bytes) -> Identity:
        """Whom the token speaks for. Raises `TokenRefused`."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
        header, claims = _peek(token)
        issuer = self._issuer(claims)
        key = self._signing_key(issuer, header)
        try:
            verified = jwt.decode(
                token,
                key,
                issuer.algorithms,
                {"require": _REQUIRED, "enforce_minimum_key_length": True},
                audience=issuer.audience,
                issuer=issuer.issuer,
                leeway=issuer.leeway_seconds,
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired("The token has expired.") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenRefused(f"The token lacks the claim {error.claim}.") from None
        except jwt.ImmatureSignatureError:
            raise TokenRefused("The token is not valid yet.") from None
        except jwt.PyJWTError:
            raise TokenRefused("The token's signature or one of its claims is wrong.") from None
        return _identity(issuer, verified)

    def _issuer(self, claims: dict[str, Any]) -> Issuer:
        """The issuer the token names; that it really is of this issuer is what the signature has to show."""
        named = claims.get("aud")
        audiences = named if isinstance(named, list) else [named]
        for issuer in self._issuers:
            if issuer.issuer == claims.get("iss") and issuer.audience in audiences:
                return issuer
        raise TokenRefused("The token's issuer or audience is not accepted here.")

    def _signing_key(self, issuer: Issuer, header: dict[str, Any]) -> jwt.PyJWK:
        """The issuer's key for this header. Of the header, only `alg`, `typ`, `kid` and `crit` are looked at."""
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if algorithm not in issuer.algorithms:
            raise TokenRefused("The token's algorithm is not accepted from its issuer.")
        if kind is not None and not (isinstance(kind, str) and kind.lower() in _TYPES):
            raise TokenRefused("The token is of a type that is not accepted here.")
        if "crit" in header:
            raise TokenRefused("The token demands an extension that is not supported.")
        if kid is not None and not isinstance(kid, str):
            raise TokenRefused("The token's key id is not a string.")
        keys = self._keys[issuer]
        if not keys.loaded:
            raise IssuerUnavailable("The signing keys of the token's issuer are not available.")
        key = keys.find(kid, algorithm)
        if key is None:
            raise SigningKeyUnknown("The token's signing key is not known.")
        return key


def _identity(issuer: Issuer, claims: dict[str, Any]) -> Identity:
    app = issuer.app if issuer.app_claim is None else claims.get(issuer.app_claim)
    user = claims.get(issuer.user_claim)
    plan = None if issuer.plan_claim is None else claims.get(issuer.plan_claim)
    if not isinstance(app, str):
        raise TokenRefused("The token does not name an app.")
    if not isinstance(user, str) or not _USER_ID.fullmatch(user):
        raise TokenRefused("The token does not name a user by 1 to 128 characters of A-Z, a-z, 0-9, _ and -.")
    if plan is not None and not isinstance(plan, str):
        raise TokenRefused("The token's plan is not a string.")
    expires_at = min(int(claims["exp"]), _LATEST) + issuer.leeway_seconds
    return Identity(app, user, plan, expires_at)


def _peek(token: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as the token has them, unverified."""
    parts = token.split(b".")
    if len(parts) != 3:
        raise TokenRefused("The token is not a signed JWT in compact form.")
    return _object(parts[0]), _object(parts[1])


_TO_BASE64 = bytes.maketrans(b"-_", b"+/")


def _object(part: bytes) -> dict[str, Any]:
    """A base64url-encoded JSON object. Duplicate members are refused (RFC 7519 section 4), non-finite numbers too."""
    padded = part.translate(_TO_BASE64) + b"=" * (-len(part) % 4)
    try:
        value = json.loads(
            binascii.a2b_base64(padded, strict_mode=True), object_pairs_hook=_members, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        raise TokenRefused("The token is not a signed JWT in compact form.") from None
    if not isinstance(value, dict):
        raise TokenRefused("The token is not a signed JWT in compact form.")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
