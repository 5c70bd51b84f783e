"""Takes a backup of a data directory while Tollgate serves from it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from ulid import ULID

from config.settings import Settings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.backup import manifest as manifests
from proxy.backup.files import PRIVATE_FOLDER, rename, sync_tree
from proxy.backup.layout import REDIS, SNAPSHOT
from proxy.backup.manifest import FORMAT, Manifest
from proxy.backup.pin import beginnings, moving, pinned, was_trimmed
from proxy.backup.sources import copy_databases, copy_journals, snapshot
from proxy.store import fingerprint
from proxy.store.fingerprint import Fingerprint

LOCK = "backup.lock"
_TRIES = 5
"""Tries to copy history and Redis without a trim in between; the first one succeeds unless a trim had begun."""


class BackupFailed(Exception):
    """No backup was taken; the message says why, and what to do."""


async def take(redis: Redis, keys: RedisKeys, settings: Settings, target: Path) -> Manifest:
    """Write a backup of the embedded Redis (`redis`), journals and SQLite files to the new folder `target`.

    Everything that was acknowledged before the call is in it. An event moves from a journal to Redis, and from Redis to
    the history. So journals are copied before Redis; and the history before Redis, while nothing is trimmed there: then
    Redis has all that the history does not have yet. What is in two places has one id, by which the reader of journals
    and the archiver count it once. `target` appears when the backup is whole. Raises `BackupFailed`, `SnapshotFailed`
    and the errors of Redis.
    """
    begun = datetime.now(UTC)
    draft = target.with_name(f".{target.name}.{ULID()}")
    try:
        with _alone(settings.data_dir):
            _make(draft, target)
            await _copy(redis, keys, settings.data_dir.resolve(), draft)
            taken = Manifest(
                format=FORMAT,
                id=str(ULID()),
                begun=begun.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                program=manifests.program_version(),
                redis=(await redis.info("server"))["redis_version"],
                fingerprint=await _fingerprint(redis, settings),
                files=await asyncio.to_thread(manifests.describe, draft),
            )
            manifests.store(draft, taken)
            await asyncio.to_thread(sync_tree, draft)
            rename(draft, target)
            return taken
    except sqlite3.Error as error:
        raise BackupFailed(f"a database in {settings.data_dir} cannot be copied: {error}") from None
    except OSError as error:
        raise BackupFailed(f"{error.filename or target}: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


async def _copy(redis: Redis, keys: RedisKeys, data_dir: Path, draft: Path) -> None:
    streams = moving(keys)
    async with pinned(redis, streams):
        for _ in range(_TRIES):
            before = await beginnings(redis, streams)
            shutil.rmtree(draft / "journal", ignore_errors=True)
            await asyncio.to_thread(copy_databases, data_dir, draft)
            await asyncio.to_thread(copy_journals, data_dir, draft)
            await snapshot(redis, data_dir / REDIS, draft / SNAPSHOT)
            if not was_trimmed(before, await beginnings(redis, streams)):
                return
    raise BackupFailed("events were removed from Redis while they were copied, again and again; try later")


async def _fingerprint(redis: Redis, settings: Settings) -> Fingerprint:
    stored = await redis.get(fingerprint.NAME)
    return msgspec.json.decode(stored, type=Fingerprint) if stored else Fingerprint.of(settings)


def _make(draft: Path, target: Path) -> None:
    """Make the folder that becomes `target`."""
    if target.exists():
        raise BackupFailed(f"{target} exists already; name a new folder")
    draft.mkdir(mode=PRIVATE_FOLDER)


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Keep other backups of this data away. Raises `BackupFailed` where one is under way."""
    lock = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupFailed("another backup of this data is being taken; wait for it") from None
    finally:
        os.close(lock)
