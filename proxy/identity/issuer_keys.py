"""Signing keys of our own issuer: two files in the data directory, shared by all workers.

    issuer/keys.json   private keys, readable by their owner alone
    issuer/jwks.json   public keys as a JSON Web Key Set (RFC 7517), which is all that a verifier reads

A rotation publishes the new key first and signs with it later; the old one stays published until the last of its tokens
has expired. Whoever writes holds the lock file, and renames a complete file into place.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from config.control import IssuerSettings
from config.loader import ConfigError, Problem
from middlewares.auth.keys import new_id

Algorithm = Literal["ES256", "RS256"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

FOLDER = "issuer"
PUBLISHED_SECONDS = 30.0
"""Seconds from the publication of a key to its first signature where nobody said otherwise; workers read every five."""
_KEPT_MARGIN_SECONDS = 60.0
"""Seconds that a replaced key stays published beyond the life of its last token."""
_RSA_BITS = 2048
_LOOK_SECONDS = 1.0
"""Seconds between two looks at the file's modification time."""


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


_KEYS = msgspec.json.Decoder(list[SigningKey])


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where the keys of an issuer are kept."""

    folder: Path

    @property
    def private(self) -> Path:
        """Return the file of the private keys."""
        return self.folder / "keys.json"

    @property
    def public(self) -> Path:
        """Return the file of the public key set."""
        return self.folder / "jwks.json"

    def read(self) -> list[SigningKey]:
        """Return the keys, none if there is no file yet. Raises `OSError`, `msgspec.DecodeError`."""
        try:
            return _KEYS.decode(self.private.read_bytes())
        except FileNotFoundError:
            return []

    def write(self, keys: Sequence[SigningKey]) -> None:
        """Replace both files, the public one first: a key is known before it signs."""
        _replace(self.public, public_set(keys), 0o644)
        _replace(self.private, msgspec.json.encode(keys), 0o600)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this folder, over all processes; the folder is made where it is missing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class IssuerKeys:
    """The keys of an issuer as one process uses them; a rotation by another is seen within a second."""

    def __init__(self, files: KeyFiles, clock: Callable[[], float] = time.time) -> None:
        self.files = files
        self._clock = clock
        self._keys: list[SigningKey] = []
        self._modified = -1
        self._look_at = 0.0

    @classmethod
    def open(cls, data_dir: Path, settings: IssuerSettings) -> IssuerKeys:
        """Return the keys in a data directory; one is made where there is none of that algorithm.

        Raises `ConfigError` where they cannot be read or written.
        """
        files = KeyFiles(data_dir / FOLDER)
        try:
            with files.locked():
                keys = files.read()
                newest = max(keys, key=lambda key: key.signs_from, default=None)
                if newest is None:
                    files.write([generate(settings.algorithm, time.time())])
                elif newest.algorithm != settings.algorithm:
                    files.write(rotated(keys, settings, time.time(), lead=PUBLISHED_SECONDS))
        except (OSError, msgspec.DecodeError) as error:
            reason = f"the keys of the issuer in {files.folder} cannot be used: {error}"
            raise ConfigError([Problem("data_dir", reason)]) from None
        return cls(files)

    def rotate(self, settings: IssuerSettings, lead: float) -> SigningKey:
        """Publish a new key that signs after `lead` seconds, and return it. Raises `OSError`."""
        with self.files.locked():
            keys = rotated(self.files.read(), settings, self._clock(), lead=lead)
            self.files.write(keys)
        return keys[-1]

    def signing(self) -> SigningKey:
        """Return the key to sign with now."""
        now = self._clock()
        if now >= self._look_at or not self._keys:
            self._look_at = now + _LOOK_SECONDS
            modified = self.files.private.stat().st_mtime_ns
            if modified != self._modified:
                self._keys, self._modified = self.files.read(), modified
        return current(self._keys, now)


def current(keys: Sequence[SigningKey], now: float) -> SigningKey:
    """Return the newest of the keys that sign by now; before the first of them does, that one."""
    begun = [key for key in keys if key.signs_from <= now]
    if begun:
        return max(begun, key=lambda key: key.signs_from)
    return min(keys, key=lambda key: key.signs_from)


def rotated(keys: Sequence[SigningKey], settings: IssuerSettings, now: float, *, lead: float) -> list[SigningKey]:
    """Return the keys with a new one that signs after `lead` seconds; the others stay until their tokens have ended."""
    end = now + lead + settings.longest_seconds + _KEPT_MARGIN_SECONDS
    living = [key for key in keys if key.ends_at is None or key.ends_at > now]
    retired = [key if key.ends_at is not None else msgspec.structs.replace(key, ends_at=end) for key in living]
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


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file of that mode, complete or not at all."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
