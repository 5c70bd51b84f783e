"""Signing keys of our own issuer as values: made, chosen by time, retired, and published."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from config.control import IssuerSettings
from middlewares.auth.keys import new_id

Algorithm = Literal["ES256", "RS256"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_KEPT_MARGIN_SECONDS = 60.0
"""Seconds that a replaced key stays published beyond the life of its last token."""
_RSA_BITS = 2048


class SigningKey(msgspec.Struct, frozen=True):
    """A private key, and when it is used. Times are Unix seconds."""

    kid: str
    algorithm: Algorithm
    private_pem: str
    signs_from: float
    ends_at: float | None = None
    """When it stops being published; None: it has no successor yet."""

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"


def current(keys: Sequence[SigningKey], now: float) -> SigningKey:
    """Return the last made of the keys that sign by now; before the first of them does, that one.

    Keys stand in the order in which they were made. One whose successor begins before it never signs.
    """
    begun = [key for key in keys if key.signs_from <= now]
    return begun[-1] if begun else min(keys, key=lambda key: key.signs_from)


def living(keys: Sequence[SigningKey], now: float) -> list[SigningKey]:
    """Return the keys that have not ended."""
    return [key for key in keys if key.ends_at is None or key.ends_at > now]


def rotated(keys: Sequence[SigningKey], settings: IssuerSettings, now: float, *, lead: float) -> list[SigningKey]:
    """Return the keys with a new one that signs after `lead` seconds; the others stay until their tokens have ended."""
    end = now + lead + settings.longest_seconds + _KEPT_MARGIN_SECONDS
    retired = [
        key if key.ends_at is not None else msgspec.structs.replace(key, ends_at=end) for key in living(keys, now)
    ]
    return [*retired, generate(settings.algorithm, now + lead)]


def generate(algorithm: Algorithm, signs_from: float) -> SigningKey:
    """Return a new key."""
    private: PrivateKey
    if algorithm == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65_537, key_size=_RSA_BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SigningKey(new_id(), algorithm, pem.decode(), signs_from)


@lru_cache(maxsize=8)
def private_of(pem: str) -> PrivateKey:
    """Return the key that a PEM document holds; parsing one takes several times as long as signing."""
    private = serialization.load_pem_private_key(pem.encode(), None)
    if isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return private
    raise TypeError("a key of the issuer is of a kind that signs no token")


def public_set(keys: Sequence[SigningKey]) -> bytes:
    """Return the public halves as a JSON Web Key Set."""
    return msgspec.json.encode({"keys": [_public(key) for key in keys]})


def _public(key: SigningKey) -> dict[str, object]:
    private = private_of(key.private_pem)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        members = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        members = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    members.pop("key_ops", None)
    return {**members, "kid": key.kid, "alg": key.algorithm, "use": "sig"}
