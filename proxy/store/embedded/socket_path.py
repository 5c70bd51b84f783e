"""Where the socket of an embedded server is: in its directory, or elsewhere when that path is too long to bind."""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from middlewares.store import StoreUnavailable

_SOCKET = "redis.sock"

_LONGEST = 103
"""Bytes a socket's path may have on every system: Linux takes 107, macOS and the BSDs 103."""

_RECORD = "socket.path"
"""File that records a socket outside the directory: another process may see another temporary folder."""


def known(directory: Path) -> str | None:
    """Return the socket of the server that runs in `directory`, or ran last; None where it is not recorded yet."""
    address = str(directory / _SOCKET)
    if _fits(address):
        return address
    with suppress(FileNotFoundError):
        recorded = (directory / _RECORD).read_text()
        if Path(recorded).parent.name == _folder_name(directory):  # else the directory was copied from another
            return recorded
    return None


def settle(directory: Path) -> str:
    """Return the socket for the server about to start in `directory`; make its folder, and record it if elsewhere.

    Raises `StoreUnavailable` when there is no safe place for it.
    """
    address = str(directory / _SOCKET)
    if _fits(address):
        return address
    folder = Path(tempfile.gettempdir(), _folder_name(directory))
    address = str(folder / _SOCKET)
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    if not (private and _fits(address)):
        raise StoreUnavailable(
            f"the path {directory} is too long for a unix socket, and {folder} is no private folder with a short "
            "path either: choose a shorter TOLLGATE_DATA_DIR"
        )
    draft = directory / f"{_RECORD}.new"
    draft.write_text(address)
    draft.replace(directory / _RECORD)
    return address


def _fits(address: str) -> bool:
    return len(os.fsencode(address)) <= _LONGEST


def _folder_name(directory: Path) -> str:
    return "tollgate-" + hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
