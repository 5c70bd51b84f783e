"""What a data directory holds that a backup has, and the names of it in both."""

from __future__ import annotations

from pathlib import Path

JOURNALS = "journal"
REDIS = "redis"
SNAPSHOT = "redis.rdb"
"""Redis snapshot of a backup."""
DATABASES = "sqlite"
"""Folder of a backup with the SQLite files of the data directory."""

_SQLITE = b"SQLite format 3\x00"


def databases(folder: Path) -> list[Path]:
    """Return the SQLite databases directly in `folder`, by their first bytes."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _is_sqlite(path)) if folder.is_dir() else []


def journal_files(folder: Path) -> list[Path]:
    """Return the files of the usage journal: journals, rejected settlements, what could not be read."""
    journals = folder / JOURNALS
    return sorted(path for path in journals.iterdir() if path.is_file()) if journals.is_dir() else []


def side_files(database: Path) -> list[Path]:
    """Return the files that SQLite keeps beside an open database."""
    beside = [database.with_name(database.name + suffix) for suffix in ("-wal", "-shm", "-journal")]
    return [path for path in beside if path.exists()]


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE
