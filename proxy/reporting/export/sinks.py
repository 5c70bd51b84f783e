"""Where exported events go. A sink that returns has them for good; otherwise it says what to do."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from proxy.reporting.export.formats import Format, Names
from proxy.reporting.stream import Recorded


class TryLater(Exception):
    """The receiver cannot take events now; `after` is how many seconds it asks to be left alone."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Poisoned(Exception):
    """The receiver will never take this batch as it is: at least one of its events is wrong for it."""


class Refused(Exception):
    """The receiver takes nothing from us until somebody changes something; the message says what it objects to."""


class Sink(Protocol):
    """Takes events."""

    async def send(self, batch: Sequence[Recorded]) -> None:
        """Return once all of `batch` is safe there. Raises `TryLater`, `Poisoned` or `Refused`."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class StdoutSink:
    """JSON lines on standard output; written is safe, for nobody acknowledges a pipe."""

    def __init__(self, form: Format, names: Names) -> None:
        self._form = form
        self._names = names

    async def send(self, batch: Sequence[Recorded]) -> None:
        lines = self._form.lines(batch, self._names)
        try:
            await asyncio.to_thread(self._write, lines)
        except OSError as error:
            raise Refused(f"standard output: {error.strerror}") from None

    async def close(self) -> None:
        """Standard output is not ours to close."""

    @staticmethod
    def _write(lines: bytes) -> None:
        view = memoryview(lines)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]


class FileSink:
    """JSON lines at the end of a file, fsynced batch by batch. Several exporters may write to the same one.

    The file is opened for each batch, so it may be moved away at any time. A last line without its end is what an
    exporter left that was killed while it wrote; the next one cuts it off, for those events come again.
    """

    def __init__(self, path: Path, form: Format, names: Names) -> None:
        """Raises `Refused` where there can be no such file."""
        self._path = path
        self._form = form
        self._names = names
        try:
            file = self._open()
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from None
        regular = stat.S_ISREG(os.fstat(file).st_mode)
        os.close(file)
        if not regular:
            raise Refused(f"{path} is not a regular file")
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)

    async def send(self, batch: Sequence[Recorded]) -> None:
        lines = self._form.lines(batch, self._names)
        try:
            await asyncio.to_thread(self._write, lines)
        except OSError as error:
            raise TryLater(f"{self._path}: {error.strerror}") from None

    async def close(self) -> None:
        """Nothing is open between batches."""

    def _open(self) -> int:
        return os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NONBLOCK, 0o640)

    def _write(self, lines: bytes) -> None:
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.ftruncate(file, _whole_lines(file))
            view = memoryview(lines)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        finally:
            os.close(file)


def _whole_lines(file: int) -> int:
    """How long the file is up to the end of its last whole line."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - 65_536)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
