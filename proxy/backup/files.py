"""Files of backups: private, and on disk before anybody relies on them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from middlewares.durable_files import sync, write_all

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700


def write(path: Path, data: bytes) -> None:
    """Write a file, readable by its owner only, and wait until it is on disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    try:
        write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def copy(source: Path, target: Path) -> None:
    """Copy a file likewise."""
    target.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    write(target, b"")
    shutil.copyfile(source, target)
    settle(target)


def settle(path: Path) -> None:
    """Make a file private, and wait until it is on disk."""
    path.chmod(PRIVATE)
    sync(path)


def sync_tree(folder: Path) -> None:
    """Wait until the names in a folder, and in all below it, are on disk."""
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync(path)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rename(source: Path, target: Path) -> None:
    """Rename, and wait until both folders say so on disk."""
    source.rename(target)
    sync(source.parent)
    sync(target.parent)
