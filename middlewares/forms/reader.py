"""Reads a form as it streams by, however its bytes are cut. The one reader for edge and meters."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Protocol

from middlewares.forms.grammar import HEAD_BYTES, FormError, PartHead, part_head

MOST_PARTS = 100
"""No route of a gateway reads more than some 20 fields. Go takes 1,000, whose heads hold up a worker for 20 ms."""
PREAMBLE_BYTES = 65_536
"""Bytes before the first boundary, which nobody reads."""

_NO_OTHER_TEXT = rb"(?![^ \t\r\n-].)"
"""Behind a delimiter: what follows does not show that it is only the beginning of a longer line."""


class FormListener(Protocol):
    """Is told what a form has, part by part."""

    def begin_part(self, head: PartHead) -> bool:
        """Take the head of a part. Return True if its content is wanted."""
        ...

    def part_data(self, data: bytes) -> None:
        """Take a stretch of the content of a wanted part."""
        ...

    def end_part(self, head: PartHead) -> None:
        """Take note that the part is complete."""
        ...


class _State(Enum):
    PREAMBLE = auto()
    HEAD = auto()
    CONTENT = auto()
    EPILOGUE = auto()


class FormReader:
    """Cuts the body of a form into parts. Keeps one head, or the bytes that may begin a boundary."""

    __slots__ = (
        "_buffer",
        "_delimiter",
        "_head",
        "_listener",
        "_parts",
        "_passed",
        "_skip",
        "_start",
        "_state",
        "_wanted",
        "opening",
    )

    def __init__(self, boundary: bytes, listener: FormListener) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._listener = listener
        self._buffer = b"\n"  # the first boundary needs no line before it
        self._start = 0
        """Where in the buffer begins what was not passed yet: to cut the buffer at each part would copy the rest."""
        self._passed = -1
        """Bytes of the body before that."""
        self._skip = 0
        """Bytes of the buffer that are no content: the line end behind a head, with which a boundary may begin."""
        self._state = _State.PREAMBLE
        self._parts = 0
        self._head = PartHead(b"", is_file=False)
        self._wanted = False
        self.opening = 0
        """Where in the body the first boundary begins, once that was read."""

    @property
    def complete(self) -> bool:
        """True if the closing boundary has passed; what follows it is no part of the form."""
        return self._state is _State.EPILOGUE

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body. Raises `FormError`."""
        if self._state is _State.EPILOGUE:
            return
        self._buffer += chunk
        try:
            while self._step():
                pass
        finally:
            self._buffer, self._start = self._buffer[self._start :], 0

    def finish(self) -> None:
        """Take note that the body has ended. Raises `FormError` where the form has not."""
        if not self.complete:
            self.feed(b"\r\n")  # the line of a closing boundary may end with the body
        if not self.complete:
            raise FormError("it ends before its last boundary")

    def _step(self) -> bool:
        """Read on in the buffer. Return False where what follows has to wait for more."""
        match self._state:
            case _State.PREAMBLE:
                return self._preamble()
            case _State.HEAD:
                return self._read_head()
            case _State.CONTENT:
                return self._content()
            case _State.EPILOGUE:
                self._drop(self._left)
                return False

    @property
    def _left(self) -> int:
        return len(self._buffer) - self._start

    def _preamble(self) -> bool:
        """Skip what comes before the first line that is a boundary."""
        opening = self._delimiter[1:]
        at, ends = self._find(opening)
        before = at if at >= 0 else max(0, self._left - len(opening) + 1)
        if self._passed + before > PREAMBLE_BYTES:
            raise FormError(f"its first {PREAMBLE_BYTES} bytes hold no boundary")
        if at < 0:
            self._drop(before)
            return False
        if not ends:
            self._drop(at)
            return False
        self.opening = self._passed + at + 1
        self._drop(at + len(opening))
        self._after_boundary()
        return True

    def _content(self) -> bool:
        """Pass on what comes before the next boundary; what may begin one is held back."""
        at, ends = self._find(self._delimiter)
        if at < 0:
            self._pass_on(max(0, self._left - len(self._delimiter) + 1))
            return False
        self._pass_on(at)
        if not ends:
            return False
        self._listener.end_part(self._head)
        self._drop(len(self._delimiter))
        self._after_boundary()
        return True

    def _find(self, delimiter: bytes) -> tuple[int, bool]:
        """Return how far on a boundary begins, and whether it ends behind `delimiter`; False: more must come first.

        -1: there is none. What only begins like one is passed over in one search: a client may send nothing else.
        """
        at = self._buffer.find(delimiter, self._start)
        if at < 0:
            return -1, False
        ends = self._boundary_ends(at + len(delimiter))
        if ends is False:
            found = re.compile(re.escape(delimiter) + _NO_OTHER_TEXT, re.DOTALL).search(self._buffer, at + 1)
            if found is None:
                return -1, False
            at, ends = found.start(), self._boundary_ends(found.end())
        return at - self._start, bool(ends)

    def _boundary_ends(self, at: int) -> bool | None:
        """Return whether a boundary ends at `at`; False: it only begins like one; None: more must come first.

        Raises `FormError` for what Go takes for a boundary's line and others do not, or the reverse.
        """
        after = self._buffer[at : at + 4]
        if len(after) < 2 or (after[:2] == b"--" and len(after) < 4):
            return None
        if after[:2] == b"\r\n" or after == b"--\r\n":
            return True
        if after[:1] in (b" ", b"\t", b"\r", b"\n", b"-"):
            raise FormError("a boundary is followed by something else than the end of its line")
        return False

    def _after_boundary(self) -> None:
        """Go on behind a boundary: `\\r\\n`, or `--` and the end of the form."""
        self._state = _State.EPILOGUE if self._buffer.startswith(b"--", self._start) else _State.HEAD
        if self._state is _State.HEAD:
            self._drop(2)

    def _read_head(self) -> bool:
        start = self._start
        end = self._buffer.find(b"\r\n\r\n", start, start + HEAD_BYTES)
        if end < 0:
            if self._left >= HEAD_BYTES:
                raise FormError(f"the head of a part is longer than {HEAD_BYTES} bytes")
            return False
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise FormError(f"it has more than {MOST_PARTS} parts")
        self._head = part_head(self._buffer[start:end])
        self._wanted = self._listener.begin_part(self._head)
        self._drop(end + 2 - start)
        self._skip = 2
        self._state = _State.CONTENT
        return True

    def _pass_on(self, size: int) -> None:
        """Pass on content."""
        data = self._buffer[self._start + self._skip : self._start + size]
        self._skip = max(0, self._skip - size)
        self._drop(size)
        if self._wanted and data:
            self._listener.part_data(data)

    def _drop(self, size: int) -> None:
        self._passed += size
        self._start += size
