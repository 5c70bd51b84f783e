"""Reads a `multipart/mixed` response (RFC 2046 section 5.1) as it passes, however its bytes are cut into chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

from middlewares.exchange import Headers

HEAD_BYTES = 8 * 1024
"""Longest head of a part; a body with a longer one is read no further."""

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_LINE_BYTES = 80
"""Longest line of a delimiter."""


class _Place(Enum):
    BEFORE = auto()
    """In the preamble, which is ignored."""
    LINE = auto()
    """After the boundary of a delimiter: two hyphens, or the end of its line."""
    HEAD = auto()
    BODY = auto()
    AFTER = auto()
    """After the closing delimiter, or an error."""


def boundary_of(content_type: bytes) -> bytes:
    """Return the boundary of a Content-Type; empty if it is no multipart type."""
    found = _BOUNDARY.search(content_type) if content_type.lower().startswith(b"multipart/") else None
    return found[1] or found[2] if found else b""


class MultipartReader:
    """Reads parts; keeps at most a head, or as much of a body as may be the beginning of a delimiter."""

    __slots__ = ("_buffer", "_delimiter", "_place", "complete")

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # the first delimiter needs no line before it
        self._place = _Place.BEFORE
        self.complete = False
        """True if the closing delimiter has passed."""

    def feed(self, chunk: bytes) -> Iterator[Headers | bytes]:
        """Yield what this chunk brings: the head of each part that begins, and the pieces of their bodies."""
        if self._place is _Place.AFTER:
            return
        self._buffer += chunk
        more = True
        while more:
            match self._place:
                case _Place.HEAD:
                    head, found, rest = self._buffer.partition(b"\r\n\r\n")
                    if more := bool(found):
                        self._place, self._buffer = _Place.BODY, rest
                        yield _headers(head)
                    elif len(head) > HEAD_BYTES:
                        self._end()
                case _Place.LINE:
                    more = self._line()
                case _:
                    data, more = self._data()
                    if data and self._place is not _Place.BEFORE:
                        yield data
                    if more:
                        self._place = _Place.LINE

    def _data(self) -> tuple[bytes, bool]:
        """Return what is before the delimiter, and True if there is one."""
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            data, self._buffer = self._buffer[:at], self._buffer[at + len(self._delimiter) :]
            return data, True
        keep = len(self._delimiter) - 1
        data, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
        return data, False

    def _line(self) -> bool:
        """Read the rest of a delimiter's line. Return False if more has to come first, or nothing can follow."""
        if self._buffer.startswith(b"--"):
            self.complete = True
            self._end()
            return False
        line, found, rest = self._buffer.partition(b"\r\n")
        if found:
            # A part without headers has its empty line right here.
            self._place, self._buffer = _Place.HEAD, b"\r\n" + rest
        elif len(line) > _LINE_BYTES:
            self._end()
        return bool(found)

    def _end(self) -> None:
        self._place, self._buffer = _Place.AFTER, b""


def _headers(head: bytes) -> Headers:
    """Return the headers of a part, names in lower case."""
    pairs = (line.partition(b":") for line in head.split(b"\r\n"))
    return [(name.strip().lower(), value.strip()) for name, colon, value in pairs if colon]
