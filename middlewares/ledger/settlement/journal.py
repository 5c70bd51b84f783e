"""Usage that Redis could not take, kept on local disk until it can.

One file per worker, one record per line: eight hex digits of CRC-32, a space, JSON. A line counts once it is
fsynced. Files of dead workers are adopted by whoever finds them unlocked.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from ulid import ULID

from middlewares.durable_files import write_all
from middlewares.ledger.model import Hold, Settlement


class JournalRecord(msgspec.Struct, omit_defaults=True):
    """One line of a journal: a settlement to be written, a hold that exists nowhere else yet, or what is done."""

    settlement: Settlement | None = None
    hold: Hold | None = None
    done: tuple[str, ...] = ()
    """Ids of requests whose records before this one need nothing any more."""


UNFINISHED = ".unfinished"
"""Suffix of a file that was to take the place of a journal; what is in it is in the journal, too."""


class JournalFull(Exception):
    """The journal has reached the disk space it may take."""


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(JournalRecord).decode


def frame(record: JournalRecord) -> bytes:
    """Return a record as one journal line."""
    text = _ENCODE(record)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read(data: bytes) -> tuple[list[JournalRecord], bytes]:
    """Return the records of a journal's bytes, and the lines (a torn tail, say) that are none."""
    records: list[JournalRecord] = []
    corrupt: list[bytes] = []
    for line in data.splitlines(keepends=True):
        record = _unframe(line)
        if record:
            records.append(record)
        else:
            corrupt.append(line)
    return records, b"".join(corrupt)


def _unframe(line: bytes) -> JournalRecord | None:
    text = line[9:-1]
    if line[8:9] == b" " and line[-1:] == b"\n" and line[:8] == b"%08x" % zlib.crc32(text):
        with suppress(msgspec.MsgspecError):  # of another version
            return _DECODE(text)
    return None


def keep_corrupt(journal: Path, corrupt: bytes) -> Path | None:
    """Write what cannot be read of a journal to `<name>.corrupt`; return its path, or None where all is well."""
    if not corrupt:
        return None
    aside = journal.with_suffix(journal.suffix.removesuffix(".journal") + ".corrupt")
    with aside.open("wb") as file:
        file.write(corrupt)
        file.flush()
        os.fsync(file.fileno())
    return aside


def new_journal(folder: Path, suffix: str = ".journal") -> tuple[Path, int]:
    """Make an empty file that is locked; return its path and descriptor."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        path = folder / f"{ULID()}{suffix}"
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        if _lock(file, path):
            return path, file  # else it was adopted before it was locked


class Journal:
    """This worker's own journal."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self.path, self._file = new_journal(folder)
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self.size = 0
        """Bytes that are on disk or on their way."""
        self.replayed = 0
        """Bytes, from the start, that have been written to Redis."""
        self.holds: set[str] = set()
        """Ids of the requests whose hold is in it."""

    async def append(self, record: JournalRecord) -> None:
        """Return once the record is on disk. Records that arrive together share one fsync.

        Raises `JournalFull` where it would pass its limit, `OSError` where the disk fails: then it is not there.
        """
        line = frame(record)
        if self.size + len(line) > self._limit:
            raise JournalFull(f"{self.path} has reached {self._limit} bytes")
        self.size += len(line)
        written = asyncio.get_running_loop().create_future()
        self._queue.append((line, written))
        if record.hold is not None:
            self.holds.add(record.hold.request_id)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(written)

    async def _write(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                await asyncio.to_thread(self._flush, b"".join(line for line, _ in batch))
            except OSError as error:
                self.size -= sum(len(line) for line, _ in batch)
                _resolve(batch, error)
            else:
                _resolve(batch, None)
        self._writer = None

    def _flush(self, data: bytes) -> None:
        end = os.fstat(self._file).st_size
        try:
            write_all(self._file, data)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, end)  # half a line would spoil the next one
            raise

    async def flushed(self) -> None:
        """Return once everything appended so far is in the file."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    def unreplayed(self) -> tuple[list[JournalRecord], bytes]:
        """Return what is in the file and not yet in Redis: its records, and the bytes that are none."""
        with self.path.open("rb") as file:
            file.seek(self.replayed)
            return read(file.read())

    def clear(self) -> None:
        """Empty it: everything in it has been written to Redis."""
        os.ftruncate(self._file, 0)
        os.fsync(self._file)
        self.size = self.replayed = 0
        self.holds.clear()

    def close(self) -> None:
        """Leave the file for the next start, or remove it when nothing is in it."""
        if self.size == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def _resolve(batch: Iterable[tuple[bytes, asyncio.Future[None]]], error: OSError | None) -> None:
    for _, written in batch:
        if not written.done():
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)


class AdoptedJournal:
    """The journal of a worker that is gone."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.incarnation = path.stem
        """Name of the worker in Redis, where it committed groups."""
        self._file = file
        self.records, self.corrupt = read(path.read_bytes())
        done = {each for record in self.records for each in record.done}
        ends = [record.settlement for record in self.records if record.settlement]
        self.settlements = [end for end in ends if end.hold.request_id not in done]
        ended = {settlement.hold.request_id for settlement in self.settlements} | done
        self.orphans = [record.hold for record in self.records if record.hold and record.hold.request_id not in ended]
        """Holds whose owner died before it could report what was used."""

    def remove(self) -> None:
        """Remove the file: all of it has been written to Redis."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)

    def release(self) -> None:
        """Leave the file for another try."""
        os.close(self._file)


def adopt(folder: Path) -> list[AdoptedJournal]:
    """Lock and read the journals in `folder` that no living worker holds."""
    found = []
    for path in folder.glob(f"*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            if _lock(file := os.open(path, os.O_RDWR), path):
                path.unlink()
                os.close(file)
    for path in sorted(folder.glob("*.journal")):
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        if _lock(file, path):
            found.append(AdoptedJournal(path, file))
    return found


def _lock(file: int, path: Path) -> bool:
    """Return True if the file is ours now; close it where another process has it, or has just removed it."""
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), path.stat()):
            return True
    os.close(file)
    return False
