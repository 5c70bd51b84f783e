"""Bodies that are kept while they pass, so that they can be measured when they are through.

The beginning of a body stays in memory; a longer one goes on in a file that has no name, so that nothing is left of it
whatever happens to the worker. The data path is never held up: writing is done by threads, and a body that cannot be
kept (too many bytes altogether, a full or slow disk) is dropped, and the spool says so.
"""

from __future__ import annotations

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import FileIO
from pathlib import Path

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.media_probe")

WRITE_BYTES = 256 * 1024
"""Size of the writes to a file, but for the last one."""
BACKLOG_BYTES = 8 * 2**20
"""Bytes of one body that may wait for the disk."""


class SpoolFolder:
    """The `Spools` of one worker. All of them together keep a bounded number of bytes."""

    def __init__(
        self, folder: Path, *, memory_bytes_each: int = 256 * 1024, memory_bytes: int = 2**25, kept_bytes: int = 2**30
    ) -> None:
        """`memory_bytes_each` of a body stay in memory, `memory_bytes` of all bodies, as long as the disk keeps pace.

        `kept_bytes` is the bound of all bodies, in memory and in files.
        """
        self.folder = folder
        self.memory_bytes_each = memory_bytes_each
        self.memory_bytes = memory_bytes
        self.kept_bytes = kept_bytes
        self.in_memory = 0
        """Bytes in memory now, of all spools."""
        self.kept = 0
        """Bytes kept now, of all spools."""
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="media-spool")
        self._complained = False

    def open(self) -> FileSpool:
        """Return an empty spool."""
        return FileSpool(self)

    def close(self) -> None:
        """End the threads once they have written what they were given. Spools may be closed later."""
        self.threads.shutdown(wait=False)

    def complain(self, error: BaseException) -> None:
        """Log that the folder cannot be written to, once."""
        if not self._complained:
            self._complained = True
            log.warning("media_spool_failed", folder=str(self.folder), error=repr(error))


class FileSpool:
    """A `Spool` of a `SpoolFolder`. Only for the event loop's thread."""

    __slots__ = ("_buffer", "_closed", "_counted", "_file", "_lost", "_owner", "_writing", "size")

    def __init__(self, owner: SpoolFolder) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._file: FileIO | None = None
        self._writing: asyncio.Future[FileIO] | None = None
        self._counted = 0
        """Bytes of this spool in the owner's `kept`."""
        self._lost = False
        self._closed = False
        self.size = 0

    @property
    def kept(self) -> bool:
        """False once a byte could not be kept."""
        return not self._lost

    def write(self, data: bytes) -> None:
        """Keep `data`, or drop the whole body. Returns at once and never raises."""
        self.size += len(data)
        if self._lost or self._closed:
            return
        owner = self._owner
        if owner.kept + len(data) > owner.kept_bytes:
            self._drop()
            return
        owner.kept += len(data)
        owner.in_memory += len(data)
        self._counted += len(data)
        self._buffer += data
        crowded = owner.in_memory > owner.memory_bytes
        if self._writing is None:
            if crowded or len(self._buffer) > (WRITE_BYTES if self._file else owner.memory_bytes_each):
                self._write_out()
        elif len(self._buffer) > BACKLOG_BYTES or owner.in_memory > 2 * owner.memory_bytes:
            self._drop()

    async def contents(self) -> bytes | int | None:
        """Return the body, or the descriptor of a file that holds it until `close`; None if it was not kept."""
        while self._writing is not None or (self._file is not None and self._buffer):
            if self._writing is None:
                self._write_out()
            if self._writing is not None:
                await asyncio.wait([self._writing])
        if self._lost or self._closed:
            return None
        return bytes(self._buffer) if self._file is None else self._file.fileno()

    def close(self) -> None:
        """Free everything, in any state and any number of times."""
        self._closed = True
        self._free()

    def _drop(self) -> None:
        self._lost = True
        self._free()

    def _free(self) -> None:
        owner = self._owner
        owner.in_memory -= len(self._buffer)
        self._buffer = bytearray()
        if self._writing is None:  # else the end of the write frees the rest
            owner.kept -= self._counted
            self._counted = 0
            if self._file is not None:
                file, self._file = self._file, None
                _close_in_thread(owner.threads, file)

    def _write_out(self) -> None:
        data, self._buffer = self._buffer, bytearray()
        try:
            self._writing = asyncio.get_running_loop().run_in_executor(
                self._owner.threads, _append, self._file, data, self._owner.folder
            )
        except RuntimeError:  # the threads were ended
            self._owner.in_memory -= len(data)
            self._drop()
            return
        self._writing.add_done_callback(partial(self._written, len(data)))

    def _written(self, count: int, write: asyncio.Future[FileIO]) -> None:
        self._writing = None
        self._owner.in_memory -= count
        if write.cancelled():
            self._lost = True
        elif error := write.exception():
            self._owner.complain(error)
            self._lost = True
        else:
            self._file = write.result()
        if self._lost or self._closed:
            self._free()
        elif len(self._buffer) > WRITE_BYTES or (self._buffer and self._owner.in_memory > self._owner.memory_bytes):
            self._write_out()


def _close_in_thread(threads: ThreadPoolExecutor, file: FileIO) -> None:
    """Close a file away from the loop: the disk takes its time to free what has no name."""
    try:
        threads.submit(file.close)
    except RuntimeError:  # the threads were ended
        file.close()


def _append(file: FileIO | None, data: bytearray, folder: Path) -> FileIO:
    """Write `data` behind what `file` holds, or into a new one in `folder`. Raises `OSError`."""
    opened = file
    if opened is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (the spool closes it)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[opened.write(rest) :]
    except OSError:
        if file is None:
            opened.close()
        raise
    return opened
