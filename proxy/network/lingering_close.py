"""Lingering close: a client that still sends reads its response before the connection goes (RFC 9112 section 9.6).

A socket that is closed with unread bytes resets its connection, and the reset overtakes the response. So the sending
half is closed first, and what arrives is thrown away, within bounds, until the client has closed its half, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import ClassVar

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Bytes of a refused body that are read for its client, which may read nothing itself before it has sent them."""
MAX_OTHER_BYTES = 262_144
"""Bytes that are read of what is no request, or of a body that is longer than `MAX_BODY_BYTES`."""
BYTES_PER_SECOND = 8 * 1024 * 1024
"""What all of a worker's connections together may send to be thrown away; more would take the worker from others."""
BURST_SECONDS = 0.02
"""How far the reading may be ahead of that pace: a timer for less is not worth its while."""
MOST_AT_A_TIME = 256
"""Connections of a worker that linger at a time; one more closes the one that has lingered longest."""
BODY_SECONDS = 30.0
IDLE_SECONDS = 2.0
"""Time without a byte after which the client is done sending, or gone; time for all that is no body to be read."""


def discarded_bytes(headers: Iterable[tuple[bytes, bytes]] | None) -> int:
    """Return how many bytes to read of the body of a refused request with these headers; None: it is no request."""
    if headers is None:
        return MAX_OTHER_BYTES
    length = next((value for name, value in headers if name == b"content-length"), b"0")
    return MAX_BODY_BYTES if length.isdigit() and int(length) <= MAX_BODY_BYTES else MAX_OTHER_BYTES


class DiscardPace:
    """The pace at which connections that share it are read to be thrown away. Times are those of their event loop."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = 0.0

    def seconds_until_next(self, now: float, size: int) -> float:
        """Count `size` bytes that were read `now`; return in how many seconds their connection may read on."""
        self._due = max(self._due, now) + size / BYTES_PER_SECOND
        return self._due - now


class LingeringClose:
    """Closes a transport whose sending half is closed, once nothing has arrived for a while or `stop` is called.

    Past `max_bytes` nothing is read any more: a client that reads while it sends still finds its response.
    """

    __slots__ = ("_deadline", "_last", "_left", "_loop", "_resume_timer", "_timer", "_transport")

    pace = DiscardPace()
    """That of all connections of this process."""
    living: ClassVar[dict[LingeringClose, None]] = {}
    """Those that linger, oldest first."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, max_bytes: int) -> None:
        self._transport = transport
        self._loop = loop
        self._resume_timer: asyncio.TimerHandle | None = None
        self._left = max_bytes
        self._last = loop.time()
        self._deadline = self._last + (BODY_SECONDS if max_bytes == MAX_BODY_BYTES else IDLE_SECONDS)
        self._timer = loop.call_later(IDLE_SECONDS, self._check)
        self.living[self] = None
        if len(self.living) > MOST_AT_A_TIME:
            next(iter(self.living))._close()

    def discard(self, size: int) -> None:
        """Take note that `size` bytes have arrived."""
        self._left -= size
        now = self._last = self._loop.time()
        if self._left < 0:
            self._transport.pause_reading()
        elif self._resume_timer is None and (wait := self.pace.seconds_until_next(now, size)) > BURST_SECONDS:
            self._transport.pause_reading()
            self._last = now + wait  # until then it is not the client that is idle
            self._resume_timer = self._loop.call_later(wait, self._resume)

    def _resume(self) -> None:
        self._resume_timer = None
        self._transport.resume_reading()

    def stop(self) -> None:
        """Stop the timers: the connection is closed."""
        self.living.pop(self, None)
        self._timer.cancel()
        if self._resume_timer is not None:
            self._resume_timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        end = min(self._last + IDLE_SECONDS, self._deadline)
        if now < end:
            self._timer = self._loop.call_later(end - now, self._check)
        else:
            self._close()

    def _close(self) -> None:
        self.stop()
        self._transport.close()
