"""What a valid ID token has to say of a person before Tollgate lets it in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.sign_in_provider import SignInProvider
from middlewares.auth.user_fields import folded
from middlewares.exchange import Refusal
from proxy.control.developers.records import ForeignIdentity
from proxy.identity.sign_up import Applicant

_LONGEST_SUBJECT = 255
"""OpenID Connect Core 1.0 section 2 allows no longer one."""
_LONGEST_EMAIL = 254


def applicant_of(claims: Mapping[str, Any], settings: SignInProvider, *, invite: str | None, address: str) -> Applicant:
    """Return who a person is. Raises `Refusal`: 401 for a subject that is none, 403 for an address that is refused."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise Refusal(401, "sign_in_refused", "The provider names nobody.")
    email = _verified_email(claims)
    if settings.verified_email and email is None:
        raise Refusal(403, "identity_refused", "The provider has not verified an e-mail address of yours.")
    if settings.domains and (email is None or folded(email).rpartition("@")[2] not in settings.domains):
        raise Refusal(403, "identity_refused", "Addresses of your e-mail domain may not sign in here.")
    return Applicant(
        ForeignIdentity(settings.issuer or "", subject),
        invite,
        address,
        email=email,
        known_only=not settings.sign_up,
    )


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    """Return the address if it is one and `email_verified` is true, which no text and no number is."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    name, at, domain = email.rpartition("@")
    usable = name and at and domain and email.isprintable() and " " not in email and len(email) <= _LONGEST_EMAIL
    return email if usable else None
