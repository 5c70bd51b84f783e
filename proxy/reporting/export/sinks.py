"""Sinks of exported events: standard output and files. When `send` returns, the sink has the events for good."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from middlewares.durable_files import sync, write_all
from proxy.reporting.export.formats import EventFormat, ReceiverNames
from proxy.reporting.stream import RecordedEvent


class TryLater(Exception):
    """The receiver cannot take events now; `after` is how many seconds it asks to wait.

    `fault` is True if it was reached and failed by itself (HTTP 5xx), as it may do on one event alone.
    """

    def __init__(self, reason: str, after: float | None = None, *, fault: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.fault = fault


class Poisoned(Exception):
    """The receiver will never accept this batch: at least one of its events is invalid there.

    `events` has the reason for each event, by its id, that is known to be invalid; empty where the receiver names none.
    """

    def __init__(self, reason: str, events: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.events = events or {}


class Refused(Exception):
    """The receiver refuses all events until the configuration is changed; the message says why."""


class Sink(Protocol):
    """Receives events."""

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        """Send `batch`, and return once the sink has all of it for good. Raises `TryLater`, `Poisoned` or `Refused`."""
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...


class StdoutSink:
    """Writes JSON lines to standard output; written counts as delivered, as pipes have no acknowledgement."""

    def __init__(self, form: EventFormat, names: ReceiverNames) -> None:
        self._form = form
        self._names = names

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        lines = self._form.lines(batch, self._names)
        try:
            await asyncio.to_thread(self._write, lines)
        except OSError as error:
            raise Refused(f"standard output: {error.strerror}") from None

    async def close(self) -> None:
        """Leave standard output open."""

    @staticmethod
    def _write(lines: bytes) -> None:
        view = memoryview(lines)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]


class FileSink:
    """Appends JSON lines to a file, with an fsync for each batch. Several exporters may write to the same file.

    The file is opened for each batch, so it may be moved away at any time. An incomplete last line was left by an
    exporter that was killed while writing; the next one cuts it off, as its events are exported again.
    """

    def __init__(self, path: Path, form: EventFormat, names: ReceiverNames) -> None:
        """Open the file once. Raises `Refused` if it cannot be written."""
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
        sync(path.parent)

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        lines = self._form.lines(batch, self._names)
        try:
            await asyncio.to_thread(self._write, lines)
        except OSError as error:
            raise TryLater(f"{self._path}: {error.strerror}") from None

    async def close(self) -> None:
        """Do nothing: the file is not open between batches."""

    def _open(self) -> int:
        return os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NONBLOCK, 0o640)

    def _write(self, lines: bytes) -> None:
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.ftruncate(file, _whole_lines(file))
            write_all(file, lines)
            os.fsync(file)
        finally:
            os.close(file)


def _whole_lines(file: int) -> int:
    """Return the length of the file up to the end of its last complete line."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - 65_536)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
