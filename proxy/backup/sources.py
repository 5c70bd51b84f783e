"""Copies of journals, SQLite files and Redis while all of them are being written to."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from proxy.backup.files import PRIVATE_FOLDER, settle, write
from proxy.backup.layout import DATABASES, JOURNALS, databases, journal_files

_POLL_SECONDS = 0.05
_FAILED_POLLS = 10
_DUMP = "dump.rdb"
"""Where the embedded Redis writes snapshots; it takes no other name at run time, and never reads it at start."""


class SnapshotFailed(Exception):
    """Redis could not write its snapshot; the message says what to do."""


def copy_journals(data_dir: Path, target: Path) -> None:
    """Copy the journals as far as their lines are whole: a line counts once it is on disk, with its end."""
    (target / JOURNALS).mkdir(mode=PRIVATE_FOLDER)
    for path in journal_files(data_dir):
        try:
            data = _read_at_once(path)
        except FileNotFoundError:  # its worker has ended, or it was written to Redis
            continue
        whole = data if path.suffix == ".corrupt" else data[: data.rfind(b"\n") + 1]
        if whole:
            write(target / JOURNALS / path.name, whole)


def _read_at_once(path: Path) -> bytes:
    """Return a file's bytes by one read, so that a journal that is emptied meanwhile is seen before or after."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            size = os.fstat(file).st_size
            data = os.pread(file, size + 1, 0)
            if len(data) <= size:
                return data
    finally:
        os.close(file)


def copy_databases(data_dir: Path, target: Path) -> None:
    """Copy each SQLite file as of one moment, by SQLite's own backup; writers go on meanwhile."""
    (target / DATABASES).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    for path in databases(data_dir):
        copied = target / DATABASES / path.name
        write(copied, b"")
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copied)) as copy:
            source.backup(copy)
            copy.execute("pragma journal_mode = delete")  # one file, nothing beside it
        settle(copied)


async def snapshot(redis: Redis, directory: Path, target: Path) -> None:
    """Have the Redis in `directory` write all of its data, as of one moment from now on, and move it to `target`.

    Raises `SnapshotFailed`.
    """
    dump = directory / _DUMP
    await _begin(redis, dump)
    failed = 0
    while failed < _FAILED_POLLS:
        info = await _state(redis)
        if not info["rdb_bgsave_in_progress"]:
            if dump.exists():
                await asyncio.to_thread(_take, dump, target)
                return
            # an earlier failure still stands there while a snapshot waits for a rewrite of the log
            failed += info["rdb_last_bgsave_status"] != "ok" and not info["aof_rewrite_in_progress"]
        await asyncio.sleep(_POLL_SECONDS)
    raise SnapshotFailed(
        f"Redis could not write its snapshot; {directory / 'redis.log'} says why, mostly that the disk is full"
    )


async def _begin(redis: Redis, dump: Path) -> None:
    """Begin a snapshot. One that is under way already is of an earlier moment, so it is waited for and thrown away."""
    while True:
        if (await _state(redis))["rdb_bgsave_in_progress"]:
            await asyncio.sleep(_POLL_SECONDS)
            continue
        await asyncio.to_thread(dump.unlink, missing_ok=True)
        try:
            await redis.bgsave(schedule=True)
        except ResponseError as error:
            if "in progress" not in str(error).lower():
                raise SnapshotFailed(f"Redis does not begin a snapshot: {error}") from None
        else:
            return


async def _state(redis: Redis) -> dict[str, Any]:
    state: dict[str, Any] = await redis.info("persistence")
    return state


def _take(dump: Path, target: Path) -> None:
    shutil.move(dump, target)
    settle(target)
