"""Puts restored data in the place of what was there, so that no crash leaves half of it in use.

A file beside the data says what is under way: while it is there the embedded Redis does not start, and the next restore
finishes the work. What is replaced is moved aside, never deleted.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from middlewares.durable_files import sync
from proxy.backup.files import PRIVATE_FOLDER, rename, write
from proxy.backup.layout import JOURNALS, REDIS, databases, journal_files, side_files
from proxy.store.embedded.redis_process import INTERRUPTED

STAGING = "restoring"
"""Folder in the data directory where a restore is prepared."""
DONE = "restored.json"
"""File that says which backup the data directory was restored from."""


class Swap(msgspec.Struct, frozen=True):
    """A replacement of the data that is under way, or done."""

    backup: str
    """Id of the backup."""
    aside: str
    """Name of the folder for what was there; empty: nothing was."""
    old: list[str]
    """Names in the data directory that are moved aside."""
    new: list[str]
    """Names in `STAGING` that take their places."""


def contents(data_dir: Path) -> list[str]:
    """Return the names of all in a data directory that is worth keeping."""
    found = [REDIS] if any((data_dir / REDIS).glob("*ppendonly*")) else []
    found += [JOURNALS] if journal_files(data_dir) else []
    for database in databases(data_dir):
        found += [*(path.name for path in side_files(database)), database.name]  # never one database, another's log
    return found


def begin(data_dir: Path, swap: Swap) -> None:
    """Write down what is about to happen, then do it."""
    write(data_dir / INTERRUPTED, msgspec.json.encode(swap))
    sync(data_dir)
    _carry_out(data_dir, swap)


def finish(data_dir: Path) -> bool:
    """Finish a replacement that was interrupted; return False if there was none."""
    path = data_dir / INTERRUPTED
    if not path.exists():
        return False
    _carry_out(data_dir, msgspec.json.decode(path.read_bytes(), type=Swap))
    return True


def last(data_dir: Path) -> Swap | None:
    """Return what the data was last replaced by; None if it never was."""
    path = data_dir / DONE
    return msgspec.json.decode(path.read_bytes(), type=Swap) if path.exists() else None


def _carry_out(data_dir: Path, swap: Swap) -> None:
    """Do each step that was not done yet: a name is moved in as soon as the one before it is out."""
    staging = data_dir / STAGING
    if swap.aside:
        (data_dir / swap.aside).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    for name in [*swap.old, *(name for name in swap.new if name not in swap.old)]:
        place, prepared = data_dir / name, staging / name
        if place.exists() and (prepared.exists() or name not in swap.new):
            aside = data_dir / swap.aside / name if name in swap.old else None
            _out_of_the_way(place, None if aside and aside.exists() else aside)  # else it was made for its locks again
        if prepared.exists():
            rename(prepared, place)
    write(data_dir / DONE, msgspec.json.encode(swap))
    sync(data_dir)
    (data_dir / INTERRUPTED).unlink(missing_ok=True)
    sync(data_dir)


def _out_of_the_way(place: Path, aside: Path | None) -> None:
    """Move what is worth keeping aside; else it is an empty folder, or one with the locks and logs of a server."""
    if aside is not None:
        rename(place, aside)
        return
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
