"""Write-ahead log of one worker: what it has admitted by itself, until Redis has the end of it.

A journal like the others, which a dead worker's sibling adopts, but for when a record counts: here once it is written,
for the page cache outlives this process; `fsync` is for machines that lose power. All that comes up in one iteration of
the event loop is written at once; a request is forwarded once its hold is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from config.runtime import Fsync
from middlewares.durable_files import sync, write_all
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.settlement.journal import UNFINISHED, JournalFull, JournalRecord, frame, new_journal

COMPACT_BYTES = 16 * 1024 * 1024
"""Size from which it is written anew with what is still open; where that is synced, the event loop waits for it."""


class WriteAheadLog:
    """One file, owned by this process."""

    def __init__(self, folder: Path, limit_bytes: int, fsync: Fsync = "never") -> None:
        self._limit = limit_bytes
        self._fsync = fsync
        self._loop = asyncio.get_running_loop()
        self.path, self._file = new_journal(folder)
        self._open: dict[str, bytes] = {}
        """The latest record of each request whose end is not in Redis."""
        self._open_bytes = 0
        self._waiting: list[bytes] = []
        self._unwritten: list[tuple[str, bytes, asyncio.Future[None]]] = []
        """Holds among them: request id, record, and what waits until it is written."""
        self._size = 0
        self._flushing = False
        self._closed = False
        self._dirty = False
        self._last_sync: asyncio.Task[None] | None = None
        self._next_sync: asyncio.Future[None] | None = None

    @property
    def incarnation(self) -> str:
        """Name of this worker in Redis, which no other has ever had."""
        return self.path.stem

    def fileno(self) -> int:
        """Return the descriptor of the file, which has its lock."""
        return self._file

    async def hold(self, hold: Hold) -> None:
        """Return once a hold is written. Whoever gives up waiting says that it is `done`.

        Raises `JournalFull` where too much is open, `OSError` where the disk fails: then it is not there.
        """
        if self._closed:
            raise OSError(f"{self.path} is closed")
        record = frame(JournalRecord(hold=hold))
        if self._open_bytes + len(record) > self._limit:
            raise JournalFull(f"{self.path} has reached {self._limit} bytes")
        self._keep(hold.request_id, record)
        self._write_soon(record)
        written = self._loop.create_future()
        self._unwritten.append((hold.request_id, record, written))
        await written

    def end(self, settlement: Settlement) -> None:
        """Write the end of a request at the end of the iteration."""
        record = frame(JournalRecord(settlement=settlement))
        self._keep(settlement.hold.request_id, record)
        self._write_soon(record)

    def done(self, request_ids: Iterable[str]) -> None:
        """Note that nothing is left to do for these requests; nothing once it is closed, for it is a sibling's then."""
        if self._closed:
            return
        known = [request_id for request_id in request_ids if request_id in self._open]
        for request_id in known:
            self._open_bytes -= len(self._open.pop(request_id))
        if not self._open and self._emptied():
            return
        if known:
            self._write_soon(frame(JournalRecord(done=tuple(known))))
            if self._size > max(COMPACT_BYTES, 2 * self._open_bytes):
                self._compact()

    def flush(self) -> None:
        """Write what waits. Raises `OSError` where the disk fails: holds are given up then, all else waits still."""
        data = b"".join(self._waiting)
        if not data or self._closed:
            return
        try:
            write_all(self._file, data)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)  # half a record would spoil the next one
            self._give_up_holds(error)
            raise
        self._size += len(data)
        self._dirty = True
        self._all_written()

    async def durable(self) -> None:
        """Return once all that is written is on the disk itself, under `always`; requests that wait share one fsync."""
        if self._fsync != "always":
            return
        if self._next_sync is None:
            previous, self._next_sync = self._last_sync, self._loop.create_future()
            self._last_sync = asyncio.create_task(self._sync_after(previous, self._next_sync))
        await asyncio.shield(self._next_sync)

    async def sync(self) -> None:
        """Write what still waits, and bring it to the disk itself unless that is never wanted. Raises `OSError`."""
        self.flush()
        if self._fsync != "never" and self._dirty:
            self._dirty = False
            try:
                await asyncio.to_thread(os.fsync, self._file)
            except OSError:
                self._dirty = True
                raise

    async def _sync_after(self, previous: asyncio.Task[None] | None, synced: asyncio.Future[None]) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        self._next_sync = None  # what is written from now on needs another one
        try:
            await asyncio.to_thread(os.fsync, self._file)
        except OSError as error:
            if not synced.done():
                synced.set_exception(error)
        else:
            if not synced.done():
                synced.set_result(None)

    def close(self, *, keep: bool = False) -> None:
        """Leave the file to a sibling where something is open, or it is to be kept; else remove it."""
        with suppress(OSError):
            self.flush()
        if not self._open and not keep:
            self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._closed = True

    def _keep(self, request_id: str, record: bytes) -> None:
        self._open_bytes += len(record) - len(self._open.get(request_id, b""))
        self._open[request_id] = record

    def _write_soon(self, record: bytes) -> None:
        self._waiting.append(record)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing = False
        with suppress(OSError):  # `sync` tries again; until then a death costs what is written nowhere
            self.flush()

    def _emptied(self) -> bool:
        """Leave nothing in the file, for all of it is done; return False where the disk fails."""
        if self._size:
            try:
                os.ftruncate(self._file, 0)
            except OSError:
                return False
            self._size = 0
        self._all_written()
        return True

    def _all_written(self) -> None:
        """Take in that nothing waits any more: it is in the file, or needs to be nowhere."""
        self._waiting.clear()
        unwritten, self._unwritten = self._unwritten, []
        for _, _, written in unwritten:
            if not written.done():
                written.set_result(None)

    def _give_up_holds(self, error: OSError) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for request_id, record, written in unwritten:
            self._waiting.remove(record)
            if self._open.get(request_id) is record:
                self._open_bytes -= len(self._open.pop(request_id))
            if not written.done():
                written.set_exception(error)

    def _compact(self) -> None:
        """Put a file in the place of this one that has what is open, and nothing else."""
        with suppress(OSError):  # the old one goes on then
            path, file = new_journal(self.path.parent, UNFINISHED)
            data = b"".join(self._open.values())
            try:
                write_all(file, data)
                if self._fsync != "never":
                    os.fsync(file)
                path.replace(self.path)
            except OSError:
                os.close(file)
                path.unlink(missing_ok=True)
                raise
            os.dup2(file, self._file, inheritable=False)  # an fsync on its way in a thread keeps its descriptor
            os.close(file)
            self._size = len(data)
            self._all_written()  # all that waited is about what is open, or not any more
            if self._fsync != "never":
                sync(self.path.parent)
