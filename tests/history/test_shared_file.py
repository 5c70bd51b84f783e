"""Hazard: a process that closes any descriptor of a SQLite file gives up all of its locks on it (POSIX).

Another process, which closes its last connection, then takes itself for the only one and removes the log that the first
goes on to read: that no longer sees what is written, and may write where nobody looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import threading
from pathlib import Path

from sqlalchemy import Connection, text

from proxy.history.engine import BUSY_SECONDS, FILE
from proxy.history.store import History

CONNECTIONS = 3
COMMAND = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("UPDATE tollgate_audit_head SET seq = seq + 1")
connection.close()
"""
"""What a command does: it connects, writes, and closes its only connection."""


def sequence(connection: Connection) -> int:
    return int(connection.execute(text("SELECT seq FROM tollgate_audit_head")).scalar_one())


class Waiting:
    """Makes reads wait for one another, so that each has a connection of its own."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(CONNECTIONS)

    def wait_in(self, connection: Connection) -> int:
        self._barrier.wait(30)
        return sequence(connection)


async def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """Hazard: commands that only read fail with "database is locked" while the archiver is busy."""
    first, second = (History.at(f"sqlite:///{tmp_path / FILE}") for _ in range(2))
    try:
        before = await first.read(sequence)
        with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            async with asyncio.timeout(BUSY_SECONDS):
                assert await second.read(sequence) == before
    finally:
        await first.close()
        await second.close()


async def test_a_process_with_several_connections_keeps_its_locks(tmp_path: Path) -> None:
    history = History.at(f"sqlite:///{tmp_path / FILE}")
    waiting = Waiting()
    try:
        before = await history.read(sequence)
        await asyncio.gather(*(history.read(waiting.wait_in) for _ in range(CONNECTIONS)))
        for number in (1, 2):
            command = await asyncio.create_subprocess_exec(sys.executable, "-c", COMMAND, str(tmp_path / FILE))
            assert await command.wait() == 0
            assert (tmp_path / f"{FILE}-wal").exists(), "another process took itself for the only one"
            assert await history.read(sequence) == before + number
    finally:
        await history.close()
