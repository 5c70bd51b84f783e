"""What is written in one turn of the event loop leaves at its end, all connections' together.

The kernel's way through TCP is long enough to push the interpreter out of a core's nearest cache. One connection after
the other, written to in the midst of everything else, pays for that twice each; in a row they do not: a sixth of all
CPU time of a busy worker.
"""

from __future__ import annotations

import asyncio

MOST = 65_536
"""Bytes of one connection that wait for the end of the turn."""


class WriteBatch:
    """Connections that have something to write when the present turn of their event loop ends."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[BufferedWriter] = []

    def add(self, writer: BufferedWriter) -> None:
        """Flush `writer` at the end of the turn."""
        if not self._waiting:
            writer.loop.call_soon(self._end)
        self._waiting.append(writer)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for writer in waiting:
            writer.flush()


class BufferedWriter:
    """The writing half of one connection. Nobody writes to the transport past what waits here, so order is kept."""

    __slots__ = ("_parts", "_size", "_transport", "_turn", "loop")

    def __init__(self, transport: asyncio.Transport, turn: WriteBatch, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._transport = transport
        self._turn = turn
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def empty(self) -> bool:
        """Everything has left: neither this nor the transport holds a byte."""
        return not self._parts and not self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Write at the end of the turn."""
        if not self._parts:
            self._turn.add(self)
        self._parts.append(data)
        self._size += len(data)
        if self._size > MOST:
            self.flush()

    def write_now(self, parts: list[bytes]) -> None:
        """Write at once, after what waits: parts that are large, or that others follow at the transport itself."""
        self.flush()
        self._transport.writelines(parts)

    def flush(self) -> None:
        """Write what waits; nothing to a transport that is closing."""
        parts = self._parts
        if parts:
            self._parts, self._size = [], 0
            if not self._transport.is_closing():
                self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """Close when everything is written."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what waits is dropped."""
        self._parts, self._size = [], 0
        self._transport.abort()
