"""JWTs in compact form (RFC 7515 section 7.1), taken apart before anything in them is believed."""

import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

MAX_TOKEN_BYTES = 8_192
"""Longest token that is verified."""

_FOREIGN_KEYS = frozenset({"jku", "jwk", "x5u", "x5c"})
"""Header parameters by which a token brings the key that it is to be verified with."""
_EXTENSIONS = frozenset({"crit", "b64"})
_TIMES = ("exp", "nbf", "iat")
_LATEST = 2**53
"""Latest time, in Unix seconds, that is exact in every implementation of JSON."""
_FORM = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]+")
"""Decoders of base64 skip other characters, so that one token could be written in many ways."""
_TO_BASE64 = bytes.maketrans(b"-_", b"+/")


class TokenRefused(Exception):
    """The token is not accepted. The message contains nothing of the token."""

    status = 401
    code = "invalid_token"
    memorable = False


@dataclass(frozen=True, slots=True)
class Unverified:
    """Header and claims of a token whose signature was not checked."""

    header: dict[str, Any]
    claims: dict[str, Any]


def peek(token: bytes) -> Unverified:
    """Return header and claims of a token of proper form, unverified. Raises `TokenRefused`."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefused(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
    if not _FORM.fullmatch(token):
        raise TokenRefused("The token is not a signed JWT in compact form.")
    header, claims, _ = token.split(b".")
    return Unverified(_object(header), _object(claims))


def check_header(header: dict[str, Any], kinds: frozenset[str], *, kind_required: bool) -> None:
    """Raise `TokenRefused` for a header that demands or brings something, or is of a type other than `kinds`."""
    if not _EXTENSIONS.isdisjoint(header):
        raise TokenRefused("The token demands an extension that is not supported.")
    if not _FOREIGN_KEYS.isdisjoint(header):
        raise TokenRefused("The token brings or points to a key; only keys of its issuer's key set are used.")
    kind, kid = header.get("typ"), header.get("kid")
    if (kind is not None or kind_required) and not (isinstance(kind, str) and kind.lower() in kinds):
        raise TokenRefused("The token is of a type that is not accepted here.")
    if kid is not None and not isinstance(kid, str):
        raise TokenRefused("The token's key id is not a string.")


def check_times(claims: dict[str, Any]) -> None:
    """Raise `TokenRefused` for a time that is no number of a date (RFC 7519 section 2, NumericDate)."""
    for name in _TIMES:
        moment = claims.get(name)
        if name not in claims or (name == "exp" and moment is None):  # that it is missing is said elsewhere
            continue
        if isinstance(moment, bool) or not isinstance(moment, int | float) or not abs(moment) < _LATEST:
            raise TokenRefused(f"The token's {name} is not a number of seconds.")


def _object(part: bytes) -> dict[str, Any]:
    """Decode a base64url-encoded JSON object; refuse duplicate members (RFC 7519 section 4) and non-finite numbers."""
    padded = part.translate(_TO_BASE64) + b"=" * (-len(part) % 4)
    try:
        text = binascii.a2b_base64(padded, strict_mode=True)
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_no_number)
        if b"\\u" in text:  # half of a surrogate pair can be spelled so, and is no part of any name
            json.dumps(value, ensure_ascii=False).encode()
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
