"""Secrets that have to be readable again, encrypted by a key that is kept outside of Redis."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from middlewares.durable_files import sync

FILE = Path("issuer") / "webhooks.key"
"""In the folder of the data directory that several machines share."""


class SecretUnreadable(Exception):
    """The secret was encrypted by another key, or the key cannot be read; the message says what to do."""


class SealedSecrets:
    """Encrypts and decrypts; the key is made at the first use, in a file that its owner alone can read."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE
        self._fernet: Fernet | None = None

    def seal(self, text: str) -> str:
        """Return the text encrypted. Raises `SecretUnreadable`."""
        return self._key().encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the text. Raises `SecretUnreadable`."""
        try:
            return self._key().decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable(
                f"the secret was encrypted by another {FILE} than that of this data_dir; rotate it"
            ) from None

    def _key(self) -> Fernet:
        if self._fernet is None:
            try:
                self._fernet = Fernet(self._read_or_make())
            except (OSError, ValueError) as error:
                raise SecretUnreadable(f"{FILE} in data_dir cannot be used: {error}") from None
        return self._fernet

    def _read_or_make(self) -> bytes:
        with suppress(FileNotFoundError):
            return self._file.read_bytes()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._file.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster, and its key counts
            os.link(draft, self._file)
        draft.unlink()
        sync(self._file.parent)
        return self._file.read_bytes()
