"""Reads the lines of an event stream, however its bytes are cut into chunks."""

from __future__ import annotations

LINE_BYTES = 256 * 1024
"""Longest line that is kept. The gateway itself cannot read lines over 64 KiB (gateway contract section 1.2)."""

_CR = ord("\r")


class Lines:
    """Incremental reader of `text/event-stream` (WHATWG HTML section 9.2.6): lines end in CR, LF or CRLF.

    Empty lines and lines over `LINE_BYTES` are left out. So is a last line that was never ended: no client sees an
    event in it either.
    """

    __slots__ = ("_after_cr", "_oversize", "_partial")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._oversize = False
        self._after_cr = False

    @property
    def pending(self) -> bool:
        """True if the end of a line is awaited."""
        return self._oversize or bool(self._partial)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes, without their ends."""
        if self._after_cr and chunk:  # the LF of a CRLF that was cut in two ends no further line
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        self._after_cr = chunk[-1] == _CR
        if _CR in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self.pending:
            self._keep(lines[0])
            lines[0] = bytes(self._partial)
            self._partial.clear()
            self._oversize = False
        if rest:
            self._keep(rest)
        return [line for line in lines if line and len(line) <= LINE_BYTES]

    def _keep(self, part: bytes) -> None:
        self._oversize = self._oversize or len(self._partial) + len(part) > LINE_BYTES
        if self._oversize:
            self._partial.clear()
        else:
            self._partial += part
