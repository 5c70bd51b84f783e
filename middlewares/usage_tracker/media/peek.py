"""Runs a parser over the head of a file as it passes, of which hardly anything is kept.

A parser is a generator. It yields how many bytes it wants next and is sent exactly these, or minus how many it wants to
skip; it never sees how the file is cut into chunks, and finds nothing in a file that ends before it does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

PEEK_BYTES = 1024
"""Most bytes that a parser may want at once: headers are small."""

T = TypeVar("T")
Steps = Generator[int, bytes, T]


class Unbelievable(Exception):
    """Raised by a parser: the file is of a format that it reads, and its head says nothing to be believed."""


class Peek(Generic[T]):
    """Feeds one parser, and keeps no more than the bytes it wants next."""

    __slots__ = ("_buffer", "_parser", "_wanted", "found", "unbelievable")

    def __init__(self, parse: Callable[[], Steps[T | None]]) -> None:
        self.found: T | None = None
        """What the parser found; None as long as it has not ended."""
        self.unbelievable = False
        """True if the file is of a format that is read, and its head cannot be."""
        self._buffer = bytearray()
        self._parser: Steps[T | None] | None = parse()
        self._wanted = 0
        self._send(None)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        start = 0
        while self._parser is not None and start < len(chunk):
            if self._wanted < 0:
                end = min(start - self._wanted, len(chunk))
                self._wanted += end - start
                if not self._wanted:
                    self._send(b"")
            else:
                end = min(start + self._wanted - len(self._buffer), len(chunk))
                self._buffer += chunk[start:end]
                if len(self._buffer) == self._wanted:
                    taken = bytes(self._buffer)
                    self._buffer.clear()
                    self._send(taken)
            start = end

    @property
    def gave_up(self) -> bool:
        """True if the parser has ended without finding anything: the bytes so far cannot be read."""
        return self._parser is None and self.found is None

    def _send(self, taken: bytes | None) -> None:
        """Let the parser go on until it wants bytes."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - nobody sends to a parser that has ended
        try:
            wanted = next(parser) if taken is None else parser.send(taken)
            while wanted == 0:
                wanted = parser.send(b"")
        except StopIteration as stop:
            self.found = stop.value
            self._parser = None
            return
        except Unbelievable:
            self.unbelievable = True
            self._parser = None
            return
        self._wanted = wanted
        if wanted > PEEK_BYTES:
            parser.close()
            self._parser = None
