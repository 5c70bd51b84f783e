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
from pathlib import Path

import msgspec
import structlog

from config.control import IssuerSettings
from config.loader import ConfigError, Problem
from middlewares.durable_files import sync
from proxy.identity.signing_keys import SigningKey, current, generate, living, public_set, rotated

FOLDER = "issuer"
CACHED_SECONDS = 300
"""Seconds for which a verifier, or a cache on its way, may keep the public keys."""
PUBLISHED_SECONDS = 2.0 * CACHED_SECONDS
"""Seconds from the publication of a key to its first signature where nobody said otherwise."""
_LOOK_SECONDS = 1.0
"""Seconds between two looks at the file's modification time."""


log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.auth")
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
        """Return the keys as they were made, none if there is no file yet.

        Raises `OSError`, `msgspec.DecodeError`.
        """
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
        self._public = b""
        self._modified = -1
        self._look_at = 0.0
        self._failed = False

    @classmethod
    def open(cls, data_dir: Path, settings: IssuerSettings) -> IssuerKeys:
        """Return the keys in a data directory; one is made where there is none of that algorithm.

        Raises `ConfigError` where they cannot be read or written.
        """
        files = KeyFiles(data_dir / FOLDER)
        try:
            with files.locked():
                keys = files.read()
                if not keys:
                    files.write([generate(settings.algorithm, time.time())])
                elif keys[-1].algorithm != settings.algorithm:
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
        """Return the key to sign with now. Raises `OSError` or `msgspec.DecodeError` if there never was one."""
        now = self._clock()
        self._look(now)
        return current(self._keys, now)

    def public(self) -> bytes:
        """Return the public key set. Raises as `signing`."""
        self._look(self._clock())
        return self._public

    def _look(self, now: float) -> None:
        """Read the files if they have changed, and take keys out of them that have ended."""
        if self._keys and 0 < self._look_at - now <= _LOOK_SECONDS:  # further ahead: the clock was set back
            return
        self._look_at = now + _LOOK_SECONDS
        try:
            modified = self.files.private.stat().st_mtime_ns
            if modified != self._modified:
                self._hold(self.files.read())
                self._modified = modified
            if len(living(self._keys, now)) < len(self._keys):
                with self.files.locked():
                    keys = living(self.files.read(), now)
                    self.files.write(keys)
                    self._hold(keys)
        except (OSError, msgspec.DecodeError) as error:
            if not self._keys:
                raise
            if not self._failed:
                log.warning("issuer_keys_unavailable", error=f"{type(error).__name__}: {error}")
            self._failed = True
        else:
            self._failed = False

    def _hold(self, keys: list[SigningKey]) -> None:
        self._keys, self._public = keys, public_set(keys)


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
    sync(path.parent)
