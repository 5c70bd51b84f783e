"""How fast a client must read: one that takes nothing of its response holds memory, and the gateway's work."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios

READ_SECONDS = 180.0
READ_BYTES = 8_192
"""Bytes of what waits for it that a client must take in each `READ_SECONDS`, or all if there are less."""


class ReadingPace:
    """Aborts a transport while whose peer takes too little of what waits for it.

    What counts is what the peer has acknowledged: for a slow one, the kernel alone may hold megabytes for minutes.
    """

    __slots__ = ("_loop", "_timer", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = 0
        """Bytes that waited at the latest look."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Expect the peer to read from now on. Nothing more may be written until `stop`."""
        if self._timer is None:
            self._waiting = self._unread()
            self._timer = self._loop.call_later(READ_SECONDS, self._check)

    def stop(self) -> None:
        """Expect nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        before = self._waiting
        self.start()
        if self._waiting and before - self._waiting < READ_BYTES:
            self.stop()
            self._transport.abort()

    def _unread(self) -> int:
        """Return how many bytes the peer has not acknowledged."""
        return self._transport.get_write_buffer_size() + _in_kernel(self._transport.get_extra_info("socket"))


def _in_kernel(sock: socket.socket | None) -> int:
    """Return how many bytes of a socket wait in the kernel; 0 where it does not say."""
    if sock is None or sys.platform != "linux":
        return 0
    try:
        (size,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    except (OSError, ValueError):  # it is closed
        return 0
    return int(size)
