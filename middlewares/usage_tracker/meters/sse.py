"""Reads the data lines out of an event stream, however its bytes are cut."""

from __future__ import annotations

LINE_BYTES = 256 * 1024
"""A longer line is passed over, not kept. The gateway itself cannot read lines beyond 64 KiB (contract section 1.2)."""


class DataLines:
    """Incremental reader of `text/event-stream` (WHATWG HTML section 9.2.6): lines end in CR, LF or CRLF.

    Every `data` line is handed out by itself, because gateways write one JSON object per line; lines of other fields
    and comments are left out. So is a last line that was never ended: no client sees an event in it either.
    """

    __slots__ = ("_after_cr", "_oversize", "_partial")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._oversize = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The values of the `data` lines that this chunk completes."""
        if self._after_cr and chunk:  # the LF of a CRLF that was cut in two ends no further line
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        lines = chunk.splitlines()
        self._after_cr = chunk.endswith(b"\r")
        rest = b"" if chunk.endswith((b"\n", b"\r")) else lines.pop()
        if lines and (self._partial or self._oversize):
            self._keep(lines[0])
            lines[0] = bytes(self._partial)
            self._partial.clear()
            self._oversize = False
        if rest:
            self._keep(rest)
        return [_value(line) for line in lines if line.startswith(b"data:") and len(line) <= LINE_BYTES]

    def _keep(self, part: bytes) -> None:
        self._oversize = self._oversize or len(self._partial) + len(part) > LINE_BYTES
        if self._oversize:
            self._partial.clear()
        else:
            self._partial += part


def _value(line: bytes) -> bytes:
    return line[6:] if line.startswith(b"data: ") else line[5:]
