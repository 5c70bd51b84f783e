"""Reads a form (`multipart/form-data`, RFC 7578) as it streams by, exactly as the gateway's Go reader cuts it.

Where the two disagreed, a request could show this reader one file and the gateway another. Hence its oddities: a first
boundary that ends in a bare LF makes LF the line end of all others, header lines may end either way, and a name that
is given twice is none. Parts are handed on in pieces; only heads are kept, within `HEAD_BYTES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from middlewares.exchange import Headers

HEAD_BYTES = 8_192
"""Longest head of a part, with the line of its boundary."""
MOST_PARTS = 1_000
"""Most parts of a form; the gateway refuses one with more. What only looks like a boundary counts, too."""

Sink = Callable[[bytes], None]
Chooser = Callable[[str, bool], Sink | None]
"""Function that takes a part's name and whether it is a file, and returns the sink of its bytes; None: no sink."""

_BOUNDARY = re.compile(rb'^multipart/form-data\s*;(?:.*;)?\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.I)
_DISPOSITION = re.compile(
    rb'form-data((?:\s*;\s*[^\s;="]+\s*=\s*(?:"(?:[^"\\]|\\.)*+"|[^\s;"]*+))*+)\s*;?\s*', re.I | re.S
)
_PARAMETER = re.compile(rb';\s*([^\s;="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))', re.S)


class _State(Enum):
    PREAMBLE = auto()
    BOUNDARY_LINE = auto()
    HEAD = auto()
    FIRST = auto()
    """The first bytes of a part: an empty one has its boundary right here."""
    DATA = auto()
    END = auto()


class FormReader:
    """Splits a body into parts. Never raises: what is no form has no parts."""

    __slots__ = ("_boundaries", "_choose", "_dashes", "_head_size", "_held", "_lines", "_newline", "_sink", "_state")

    def __init__(self, headers: Headers, choose: Chooser) -> None:
        content_type = next((value for name, value in headers if name == b"content-type"), b"")
        found = _BOUNDARY.match(content_type)
        self._dashes = b"--" + (found[1] or found[2]) if found else b""
        self._choose = choose
        self._state = _State.PREAMBLE if found else _State.END
        self._held = b"\n"  # as if a line had just ended
        self._newline = b""
        """Line end of boundaries; empty until the first one."""
        self._lines: list[bytes] = []
        self._head_size = 0
        self._boundaries = 0
        self._sink: Sink | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._state is _State.END:
            return
        data = self._held + chunk
        self._held = b""
        place: int | None = 0
        while place is not None:
            place = self._step(data, place)

    def _step(self, data: bytes, place: int) -> int | None:
        """Read on from `place`. Return where to go on; None: more bytes are needed, or nothing can follow."""
        match self._state:
            case _State.PREAMBLE:
                return self._find(data, place, b"\n" + self._dashes)
            case _State.DATA:
                return self._find(data, place, self._newline + self._dashes)
            case _State.FIRST:
                return self._first(data, place)
            case _State.END:
                return None
            case _:
                return self._line(data, place)

    def _find(self, data: bytes, start: int, delimiter: bytes) -> int | None:
        """Pass on what comes before the delimiter; what may be the start of one is held back."""
        ends: bool | None = False
        place = data.find(delimiter, start)
        while place >= 0 and (ends := _ends(data, place + len(delimiter))) is False:
            self._boundaries += 1
            if self._boundaries > MOST_PARTS:
                self._state = _State.END
                return None
            place = data.find(delimiter, place + 1)
        if place < 0:
            place = _overlap(data, start, delimiter)
        if self._sink is not None and place > start:
            self._sink(data[start:place])
        if ends:
            self._state = _State.BOUNDARY_LINE
            return place + len(delimiter)
        self._held = data[place:]
        return None

    def _first(self, data: bytes, start: int) -> int | None:
        end = start + len(self._dashes)
        ends = _ends(data, end) if data.startswith(self._dashes, start) else False
        if ends is None or (len(data) < end and self._dashes.startswith(data[start:])):
            self._held = data[start:]
            return None
        self._state = _State.BOUNDARY_LINE if ends else _State.DATA
        return end if ends else start

    def _line(self, data: bytes, start: int) -> int | None:
        """Read one line of the head, or the rest of the boundary's own line."""
        end = data.find(b"\n", start)
        line = data[start : end if end >= 0 else None]
        if len(line) > HEAD_BYTES - self._head_size or (self._state is _State.BOUNDARY_LINE and line.startswith(b"--")):
            self._state = _State.END
            return None
        if end < 0:
            self._held = line
            return None
        self._head_size += len(line)
        if self._state is _State.HEAD:
            self._head(line.removesuffix(b"\r"))
        elif not self._begin(line.lstrip(b" \t") + b"\n"):
            return end
        return end + 1

    def _begin(self, newline: bytes) -> bool:
        """Begin a part after the line of its boundary. Return False if it was no boundary, and the preamble goes on."""
        self._head_size = 0
        self._lines = []
        self._boundaries += 1
        if not self._newline:
            if newline not in (b"\n", b"\r\n"):
                self._state = _State.PREAMBLE if self._boundaries < MOST_PARTS else _State.END
                return False
            self._newline = newline
        good = newline == self._newline and self._boundaries <= MOST_PARTS
        self._state = _State.HEAD if good else _State.END
        return True

    def _head(self, line: bytes) -> None:
        if line[:1] in (b" ", b"\t") and self._lines:
            self._lines[-1] += line
        elif line:
            self._lines.append(line)
        else:
            named = _named(self._lines)
            self._sink = self._choose(*named) if named else None
            self._state = _State.FIRST


def _ends(data: bytes, place: int) -> bool | None:
    """Return True if what follows ends a boundary here; None if that has not arrived yet."""
    after = data[place : place + 2]
    return None if after in (b"", b"-") else after == b"--" or after[:1] in b" \t\r\n"


def _overlap(data: bytes, start: int, delimiter: bytes) -> int:
    """Return where the longest end of `data` begins that is a start of `delimiter`."""
    place = max(start, len(data) - len(delimiter) + 1)
    while not delimiter.startswith(data[place:]):
        place += 1
    return place


def _named(lines: list[bytes]) -> tuple[str, bool] | None:
    """Return the name of a part and whether it is a file, from its head; None if it has no name."""
    headers = (line.partition(b":") for line in lines)
    value = next((value for name, _, value in headers if name.lower() == b"content-disposition"), b"")
    disposition = _DISPOSITION.fullmatch(value.strip())
    if disposition is None:
        return None
    parameters = [(each[1].lower(), each[2] or each[3] or b"") for each in _PARAMETER.finditer(disposition[1])]
    found = dict(parameters)
    if len(found) != len(parameters) or not found.get(b"name"):
        return None
    return found[b"name"].decode("latin-1"), bool(found.get(b"filename") or found.get(b"filename*"))
