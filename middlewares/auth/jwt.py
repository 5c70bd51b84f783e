"""Verification of JWTs of configured issuers, by keys, algorithms and claims that the operator configured."""

from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from config.issuers import Issuer
from middlewares.auth.claims import Identity, identity_of, own_identity
from middlewares.auth.compact import TokenRefused, Unverified, check_header, check_times, peek
from middlewares.auth.jwks import KeySet, KeySets

_REQUIRED = ["iss", "aud", "exp", "sub"]
_OWN_KINDS = frozenset({"at+jwt", "application/at+jwt"})
_KINDS = _OWN_KINDS | {"jwt"}
"""Accepted values of `typ`: other kinds of signed statements are no access tokens (RFC 8725 section 3.11)."""


class TokenExpired(TokenRefused):
    """The token has expired, and will never be accepted again."""

    code = "token_expired"
    memorable = True


class TokenOfOthers(TokenRefused):
    """The token is for another audience, or by an issuer that is not known here."""


class SigningKeyUnknown(TokenRefused):
    """The token's signing key is not known; it may be after the next refresh of the key set."""


class IssuerUnavailable(TokenRefused):
    """The keys of the token's issuer were never loaded, or too long ago, so it cannot be verified now."""

    status = 503
    code = "issuer_unavailable"


class TokenVerifier:
    """Verifies tokens of the configured issuers, without I/O (30-50 microseconds for RSA)."""

    def __init__(
        self, issuers: Sequence[Issuer], keys: KeySets | Mapping[Issuer, KeySet], own: Issuer | None = None
    ) -> None:
        """`own` is Tollgate's own issuer, whose tokens have scopes and can be revoked; `keys` has its keys, too."""
        trusted = (own, *issuers) if own is not None else tuple(issuers)
        self._trusted = [(issuer, keys[issuer]) for issuer in trusted]
        self._own = own

    def verify(self, token: bytes) -> Identity:
        """Return app, user, plan and tier of the token. Raises `TokenRefused`."""
        issuer, claims = self.claims(token)
        return own_identity(issuer, claims) if issuer is self._own else identity_of(issuer, claims)

    def claims(self, token: bytes) -> tuple[Issuer, dict[str, Any]]:
        """Return the issuer of the token, and its claims. Raises `TokenRefused`."""
        unverified = peek(token)
        issuer, keys = self._issuer(unverified.claims)
        return issuer, verified_claims(token, unverified, issuer, keys, own=issuer is self._own)

    def _issuer(self, claims: dict[str, Any]) -> tuple[Issuer, KeySet]:
        """Return the issuer that the token names; only the signature proves that it is."""
        named = claims.get("aud")
        audiences = named if isinstance(named, list) else [named]
        for issuer, keys in self._trusted:
            if issuer.issuer == claims.get("iss") and issuer.audience in audiences:
                return issuer, keys
        raise TokenOfOthers("The token's issuer or audience is not accepted here.")


def verified_claims(
    token: bytes, unverified: Unverified, issuer: Issuer, keys: KeySet, *, own: bool = False
) -> dict[str, Any]:
    """Return the claims of a token of that issuer, `own` one of ours (RFC 9068). Raises `TokenRefused`."""
    check_header(unverified.header, _OWN_KINDS if own else _KINDS, kind_required=own)
    check_times(unverified.claims)
    try:
        return jwt.decode(
            token,
            _signing_key(unverified.header, issuer, keys),
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


def _signing_key(header: dict[str, Any], issuer: Issuer, keys: KeySet) -> jwt.PyJWK:
    algorithm = header.get("alg")
    if algorithm not in issuer.algorithms:
        raise TokenRefused("The token's algorithm is not accepted from its issuer.")
    if not keys.usable:
        raise IssuerUnavailable("The signing keys of the token's issuer are not available.")
    key = keys.find(header.get("kid"), algorithm)
    if key is None:
        raise SigningKeyUnknown("The token's signing key is not known.")
    return key
