"""Runs a parser over a file as it passes, of which hardly anything is kept.

A parser is a generator. It yields how many bytes it wants next and is sent exactly these, or minus how many it wants to
skip; it never sees how the file is cut into chunks. At the end of the file `EOFError` is raised at its yield: most
parsers end there, others know their result only then.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

PEEK_BYTES = 1024
"""Most bytes that a parser may want at once: headers are small."""
TO_END = -(2**63)
"""Yielded by a parser that skips to the end of the file."""

T = TypeVar("T")
Steps = Generator[int, bytes, T]


class File:
    """What a parser sees of its file beside the bytes it is sent."""

    __slots__ = ("listener", "position")

    def __init__(self) -> None:
        self.position = 0
        """Bytes that were sent or skipped."""
        self.listener: Callable[[bytes], None] | None = None
        """Called with the bytes that are skipped, if the parser sets it."""


class Peek(Generic[T]):
    """Feeds one parser, and keeps no more than the bytes it wants next."""

    __slots__ = ("_buffer", "_file", "_found", "_parser", "_wanted", "size")

    def __init__(self, parse: Callable[[File], Steps[T | None]]) -> None:
        self.size = 0
        """Bytes of the file that have passed."""
        self._file = File()
        self._buffer = bytearray()
        self._found: T | None = None
        self._parser: Steps[T | None] | None = parse(self._file)
        self._wanted = 0
        self._send(None)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        self.size += len(chunk)
        start = 0
        while self._parser is not None and start < len(chunk):
            if self._wanted < 0:
                end = min(start - self._wanted, len(chunk))
                self._pass(chunk, start, end)
            else:
                end = min(start + self._wanted - len(self._buffer), len(chunk))
                self._buffer += chunk[start:end]
                if len(self._buffer) == self._wanted:
                    self._take()
            start = end

    @property
    def gave_up(self) -> bool:
        """True if the parser has ended without finding anything: the bytes so far cannot be read."""
        return self._parser is None and self._found is None

    @property
    def found(self) -> T | None:
        """What the parser found; None as long as it has not ended."""
        return self._found

    def end(self) -> T | None:
        """End the file, and return what the parser found; None if it cannot read the file."""
        if self._parser is not None:
            try:
                self._parser.throw(EOFError)
            except StopIteration as stop:
                self._found = stop.value
            except EOFError:
                pass
            self._parser = None
        return self._found

    def _pass(self, chunk: bytes, start: int, end: int) -> None:
        if self._file.listener is not None:
            self._file.listener(chunk[start:end])
        self._wanted += end - start
        self._file.position += end - start
        if not self._wanted:
            self._send(b"")

    def _take(self) -> None:
        taken = bytes(self._buffer)
        self._buffer.clear()
        self._file.position += len(taken)
        self._send(taken)

    def _send(self, taken: bytes | None) -> None:
        """Let the parser go on until it wants bytes."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - nobody sends to a parser that has ended
        try:
            wanted = next(parser) if taken is None else parser.send(taken)
            while wanted == 0:
                wanted = parser.send(b"")
        except StopIteration as stop:
            self._found = stop.value
            self._parser = None
            return
        self._wanted = wanted
        if wanted > PEEK_BYTES:
            parser.close()
            self._parser = None
