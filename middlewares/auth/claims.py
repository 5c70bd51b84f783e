"""What the claims of a verified token say: app, user, plan, tier and scopes, by the issuer's configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.issuers import Issuer
from middlewares.auth.compact import TokenRefused

_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Identity:
    """App, user, plan and tier of a verified token."""

    app: str
    user: str | None
    """None: the token speaks for the app itself."""
    plan: str | None
    """None: the plan of the app."""
    expires_at: int
    """Unix seconds, leeway included."""
    tier: str | None = None
    """None: the tier of the app, or of the plan."""
    scopes: frozenset[str] | None = None
    """None: the issuer's configuration names no claim for them, and the token is good for all work."""
    key: str | None = None
    """Id of the API key that the token was issued for; it is good for no more and no longer than that."""
    token_id: str | None = None
    """The `jti` by which it can be revoked; None: an external issuer's."""


class PlanRefused(TokenRefused):
    """The token names a plan that its issuer may not give."""

    status = 403
    code = "plan_unknown"
    memorable = True


class TierRefused(TokenRefused):
    """The token names a routing tier that its issuer may not give."""

    status = 403
    code = "tier_unknown"
    memorable = True


def identity_of(issuer: Issuer, claims: Mapping[str, Any]) -> Identity:
    """Return who an external issuer's token speaks for. Raises `TokenRefused`."""
    user = claim_at(claims, issuer.user_claim)
    if not isinstance(user, str) or not _USER_ID.fullmatch(user):
        raise TokenRefused("The token does not name a user by 1 to 128 characters of A-Z, a-z, 0-9, _ and -.")
    return Identity(
        app=_app(issuer, claims),
        user=user,
        plan=_chosen(claims, issuer.plan_claim, issuer.plans, issuer.plan, PlanRefused),
        tier=_chosen(claims, issuer.tier_claim, issuer.tiers, issuer.tier, TierRefused),
        expires_at=int(claims["exp"]) + issuer.leeway_seconds,
        scopes=None if issuer.scope_claim is None else _scopes(claims, issuer.scope_claim, issuer.scopes),
    )


def own_identity(issuer: Issuer, claims: Mapping[str, Any]) -> Identity:
    """Return who a token of our own issuer speaks for; the subject of an app's own token is the app (RFC 9068)."""
    identity = identity_of(issuer, claims)
    scope, key, token_id = claims.get("scope"), claims.get("key_id"), claims.get("jti")
    if not isinstance(scope, str) or not isinstance(token_id, str) or not isinstance(key, str | None):
        raise TokenRefused("The token lacks a scope or an id.")
    user = None if identity.user == identity.app else identity.user
    return replace(identity, user=user, scopes=frozenset(scope.split()), key=key, token_id=token_id)


def claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """Return the claim of that name, else the one that the parts of the path lead to; None if there is none.

    Names may have dots themselves, as in `https://example.com/plan`: each is tried before it is taken apart.
    """
    if path in claims:
        return claims[path]
    for position, sign in enumerate(path):
        if sign == "." and isinstance(inner := claims.get(path[:position]), dict):
            found = claim_at(inner, path[position + 1 :])
            if found is not None:
                return found
    return None


def _app(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    if issuer.app_claim is None:
        return issuer.app or ""
    named = claim_at(claims, issuer.app_claim)
    app = issuer.apps.get(named) if issuer.apps and isinstance(named, str) else named
    if not isinstance(app, str) or not app:
        raise TokenRefused("The token does not name an app.")
    return app


def _chosen(
    claims: Mapping[str, Any],
    path: str | None,
    values: Mapping[str, str],
    default: str | None,
    refused: type[TokenRefused],
) -> str | None:
    """Return the plan or tier that a claim names, the default where there is no such claim."""
    named = None if path is None else claim_at(claims, path)
    if named is None:
        return default
    if not isinstance(named, str):
        raise TokenRefused("The token's plan or tier is not a string.")
    if named not in values:
        raise refused("The token names a plan or tier that its issuer may not give; see its entry in `auth.issuers`.")
    return values[named]


def _scopes(claims: Mapping[str, Any], path: str, values: Mapping[str, str]) -> frozenset[str]:
    """Return our scopes for those of a claim (RFC 8693 section 4.2: text with spaces, elsewhere lists)."""
    named = claim_at(claims, path)
    if isinstance(named, str):
        named = named.split()
    elif named is None:
        named = []
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise TokenRefused("The token's scopes are neither a string nor a list of strings.")
    return frozenset(values[each] for each in named if each in values)
