"""Reading in slices: one read may bring thousands of tiny chunks, headers or requests, and others wait meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

HEAD_SLICE = 4_096
"""Bytes in a row that are parsed in one go where requests or heads may follow one another."""
BODY_SLICE = 16_384
"""The same inside of a body, of which chunk framing is the most that has to be parsed."""
TURN_SECONDS = 0.001
"""Once parsing took this long, the other connections of the event loop have their turn."""

_HEAD_END = b"\r\n\r\n"


def head_slice(data: bytes, at: int) -> int:
    """Return how much to parse in one go where a head begins: the head alone, so that its body stays in one piece."""
    end = data.find(_HEAD_END, at, at + HEAD_SLICE)
    return end + len(_HEAD_END) - at if end >= 0 else HEAD_SLICE


class SlicedReads:
    """Hands on what one connection reads, and reads nothing more while some of that waits.

    The parts of a transport that control the flow (`pause_reading`, `resume_reading`) are here, too: whoever resumes
    does not know of what waits.

    Args:
        parse: takes the next slice.
        size: returns how many bytes to parse in one go from a position of what was read.
    """

    __slots__ = ("_at", "_data", "_held", "_loop", "_parse", "_paused", "_scheduled", "_size", "_transport", "on_hold")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        parse: Callable[[bytes | memoryview], None],
        size: Callable[[bytes, int], int],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._parse = parse
        self._size = size
        self._data = b""
        """What was read last, of which the bytes from `_at` on wait; empty: nothing waits."""
        self._at = 0
        self._held = False
        """True while nothing is read because something waits."""
        self._paused = False
        self._scheduled = False
        self.on_hold = False
        """True: nothing more is to be parsed until `go_on` is called."""

    @property
    def waiting(self) -> bool:
        """True if bytes follow that were read and not parsed, also while the slice before them is parsed."""
        return bool(self._data)

    def feed(self, data: bytes) -> None:
        """Parse what was read; what takes too long, or comes while on hold, waits."""
        if self._data:  # it was on its way when reading was paused
            self._data, self._at = self._data[self._at :] + data, 0
        elif self.on_hold:
            self._data, self._at = data, 0
            self._hold()
        elif len(data) <= HEAD_SLICE:
            self._parse(data)
        else:
            self._data, self._at = data, 0
            self._run()

    def go_on(self) -> None:
        """Take off hold, and parse in the next iteration of the event loop what waits."""
        self.on_hold = False
        if self._data and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._next_turn)

    def finish(self) -> None:
        """Parse all that waits: nothing more is to come."""
        data, self._data = self._data, b""
        if data:
            self._parse(memoryview(data)[self._at :])

    def stop(self) -> None:
        """Drop what waits: nothing more is to be parsed."""
        self._data = b""
        self._release()

    def close(self) -> None:
        """Drop what waits, and the connection, which is lost and refers to this object in turn."""
        self._data = b""
        del self._parse, self._size

    def pause_reading(self) -> None:
        """Read nothing more until `resume_reading` is called."""
        self._paused = True
        if not self._held and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, as soon as nothing waits."""
        self._paused = False
        if not self._held and not self._transport.is_closing():
            self._transport.resume_reading()

    def _next_turn(self) -> None:
        self._scheduled = False
        if not self.on_hold:
            self._run()

    def _run(self) -> None:
        """Parse until the end, or until it is somebody else's turn."""
        turn = monotonic() + TURN_SECONDS
        while self._data and not self._transport.is_closing():
            data, at = self._data, self._at
            self._at = end = at + self._size(data, at)
            if end >= len(data):
                self._data = b""
            self._parse(memoryview(data)[at:end])
            if self._data and (self.on_hold or monotonic() >= turn):
                self._hold()
                return
        self.stop()

    def _hold(self) -> None:
        if not self._held:
            self._held = True
            if not self._paused and not self._transport.is_closing():
                self._transport.pause_reading()
        if not self.on_hold:
            self.go_on()

    def _release(self) -> None:
        if self._held:
            self._held = False
            if not self._paused and not self._transport.is_closing():
                self._transport.resume_reading()
