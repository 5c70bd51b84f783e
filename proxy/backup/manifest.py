"""The manifest of a backup: what is in it, what it was taken from, and whether it is whole."""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import version
from pathlib import Path

import msgspec

from proxy.backup.files import digest, write
from proxy.store.fingerprint import Fingerprint

NAME = "manifest.json"
FORMAT = 1
"""Version of the layout of a backup; goes up when an earlier Tollgate could not restore it."""


class BadBackup(Exception):
    """A folder that cannot be restored; the message says why, and what to do."""


class BackedUpFile(msgspec.Struct, frozen=True):
    """One file of a backup."""

    size: int
    """Bytes."""
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """All that is known of a backup."""

    format: int
    id: str
    """ULID: two backups never share one."""
    begun: str
    """When it was begun (RFC 3339): what was acknowledged before is in it."""
    program: str
    """Version of the Tollgate that took it."""
    redis: str
    """Version of the Redis that wrote the snapshot."""
    fingerprint: Fingerprint
    files: dict[str, BackedUpFile]
    """By their path within the backup."""


class _SignedManifest(msgspec.Struct):
    manifest: msgspec.Raw
    sha256: str


def program_version() -> str:
    """Return the version of this Tollgate."""
    return version("naap-tollgate")


def store(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a backup."""
    text = msgspec.json.encode(manifest)
    signed = _SignedManifest(msgspec.Raw(text), hashlib.sha256(text).hexdigest())
    write(folder / NAME, msgspec.json.encode(signed))


def describe(folder: Path) -> dict[str, BackedUpFile]:
    """Return size and hash of every file in `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): BackedUpFile(path.stat().st_size, digest(path)) for path in files}


def load(folder: Path) -> Manifest:
    """Return the manifest of the backup in `folder`, once it is known that this Tollgate can read it.

    Raises `BadBackup` for what is no backup, or damaged, or of a newer Tollgate.
    """
    try:
        signed = msgspec.json.decode((folder / NAME).read_bytes(), type=_SignedManifest)
    except OSError as error:
        raise BadBackup(f"{folder} is no backup of Tollgate: {NAME}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBackup(f"{folder} is damaged: {NAME} cannot be read; use another backup") from None
    text = bytes(signed.manifest)
    if hashlib.sha256(text).hexdigest() != signed.sha256:
        raise BadBackup(f"{folder} is damaged: {NAME} was changed; use another backup")
    known = msgspec.json.decode(text)
    if known.get("format", 0) > FORMAT or _numbers(known.get("program", "")) > _numbers(program_version()):
        raise BadBackup(
            f"{folder} was taken by Tollgate {known.get('program')}, and this is {program_version()}: restore it with "
            "that version or a newer one"
        )
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.ValidationError as error:
        raise BadBackup(f"{folder} is damaged: {NAME}: {error}; use another backup") from None


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raise `BadBackup` unless every file of the manifest is there, with its bytes, and no other."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found.pop(NAME, None)
    for name, expected in manifest.files.items():
        path = found.pop(name, None)
        if path is None:
            raise BadBackup(f"{folder} is damaged: {name} is missing; use another backup")
        if path.stat().st_size != expected.size or digest(path) != expected.sha256:
            raise BadBackup(f"{folder} is damaged: {name} was changed; use another backup")
    if found:
        raise BadBackup(f"{folder} has files that its manifest does not know, such as {min(found)}; remove them")


def _numbers(version_text: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparison."""
    return tuple(map(int, re.findall(r"\d+", version_text)[:3]))
