"""Reads `text/event-stream` (WHATWG HTML section 9.2.6), however its bytes are cut into chunks.

Lines end in CR, LF or CRLF, a blank line ends an event, and a byte order mark at the very start is none of it. The
values of the `data` lines of an event, joined by LF, are its data. Whoever passes a stream on gets every byte of it
back, in the `raw` parts of the events.
"""

from __future__ import annotations

import re

import msgspec

EVENT_BYTES = 256 * 1024
"""Longest event that is read. The gateway itself cannot read lines over 64 KiB (gateway contract section 1.2)."""

_BLANK_LINES = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)++")  # atomic: a CRLF is never two line ends
_MOST_BLANK_BYTES = 4
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CR = ord("\r")


class StreamEvent(msgspec.Struct, frozen=True, gc=False):
    """One event with the blank lines after it, or a piece of one that is too long to read."""

    raw: bytes
    """Its bytes, the blank lines included."""
    data: bytes | None
    """None: it has no `data` line, as comments have none, or it is too long."""


class EventReader:
    """Incremental reader of one stream."""

    __slots__ = ("_after_cr", "_begun", "_buffer", "_oversize")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun = False
        """True once the first event has passed, before which a byte order mark may stand."""
        self._oversize = False
        """True while the rest of an event passes that is too long."""
        self._after_cr = False
        """True if a CR ended the last event: it may have been half of a CRLF."""

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that this chunk completes."""
        if (
            chunk.startswith(b"data: ")
            and chunk.find(b"\n") + 2 == len(chunk) <= EVENT_BYTES
            and chunk.endswith(b"\n")
            and not (self._buffer or self._after_cr or self._oversize or b"\r" in chunk)
        ):  # as gateways write nearly every chunk: one event, whole, with one line
            self._begun = True
            return [StreamEvent(chunk, chunk[6:-2])]
        events: list[StreamEvent] = []
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                events.append(StreamEvent(b"\n", None))
                chunk = chunk[1:]
        searched = max(0, len(self._buffer) - _MOST_BLANK_BYTES)
        self._buffer += chunk
        start = 0
        while blank := _BLANK_LINES.search(self._buffer, searched):
            searched = blank.end()
            events.append(self._event(bytes(self._buffer[start:searched])))
            self._after_cr = searched == len(self._buffer) and self._buffer[-1] == _CR
            start = searched
        del self._buffer[:start]
        if self._oversize or len(self._buffer) > EVENT_BYTES + _MOST_BLANK_BYTES:
            self._oversize = True
            passed = max(0, len(self._buffer) - _MOST_BLANK_BYTES)
            if passed:
                events.append(StreamEvent(bytes(self._buffer[:passed]), None))
                del self._buffer[:passed]
        return events

    def rest(self) -> StreamEvent | None:
        """Return the event that no blank line has ended yet; None if there is nothing of it. Changes nothing."""
        if not self._buffer:
            return None
        raw = bytes(self._buffer)
        return StreamEvent(raw, None if self._oversize else _data(raw, first=not self._begun))

    def _event(self, raw: bytes) -> StreamEvent:
        oversize = self._oversize or (len(raw) > EVENT_BYTES and len(raw.rstrip(b"\r\n")) > EVENT_BYTES)
        data = None if oversize else _data(raw, first=not self._begun)
        self._oversize = False
        self._begun = True
        return StreamEvent(raw, data)


def _data(raw: bytes, *, first: bool) -> bytes | None:
    text = raw.removeprefix(_BYTE_ORDER_MARK) if first else raw
    if text.startswith(b"data: ") and text.endswith(b"\n\n") and text.count(b"\n") == 2 and b"\r" not in text:
        return text[6:-2]
    values = [
        line[6:] if line.startswith(b"data: ") else line[5:]
        for line in _LINE_END.split(text.strip(b"\r\n"))
        if line.startswith(b"data:") or line == b"data"
    ]
    return b"\n".join(values) if values else None
