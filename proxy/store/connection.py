"""One socket to one Redis, shared by everybody: commands leave once per tick, replies resolve in order.

redis-py hands a connection to one caller at a time and writes each command by itself. Here all commands of one turn
of the event loop leave in one write, and any number of callers wait on the same socket.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any, cast

import hiredis

from middlewares.ledger.port import StoreError, StoreTimeout, StoreUnavailable
from proxy.store.replies import error_from

Word = str | bytes | int
Reply = Any
"""What RESP2 carries: bytes, int, None, and lists of these (in which errors are `StoreError` values)."""

_SWEEP_SECONDS = 0.005
"""Deadlines are checked at most this often, so thousands that end one after the other cost little."""

_INCOMPLETE = object()


class Connection(asyncio.Protocol):
    """A connected socket. It lives until it is closed, lost, or silent for `stall` seconds with a command unanswered.

    Redis answers in order, so a call that is given up keeps its place in the queue: its late reply is taken out and
    dropped, and never reaches another caller. At most `max_pending` commands wait at a time.
    """

    def __init__(self, name: str, *, stall: float, max_pending: int) -> None:
        self._name = name
        self._stall = stall
        self._max_pending = max_pending
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=partial(error_from, name), notEnoughData=_INCOMPLETE)
        self._pending: deque[tuple[asyncio.Future[Reply] | None, float, float]] = deque()
        self._out: list[bytes] = []
        self._sweep_at = inf
        self._sweeper: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Resolves once the connection is gone: a sentence that says why."""

    def call(self, command: Sequence[Word], deadline: float) -> asyncio.Future[Reply]:
        """Send `command`; the future gets its reply, or a `StoreError` after at most `deadline` seconds.

        Raises `StoreUnavailable` at once when the connection is gone or too many commands wait already.
        """
        now = self._loop.time()
        future = self._loop.create_future()
        self._send(command, (future, now, now + deadline))
        due = now + min(deadline, self._stall)
        if due < self._sweep_at:
            self._sweep_next(due)
        return future

    def tell(self, command: Sequence[Word]) -> None:
        """Send `command` ahead of the next call and drop its reply."""
        self._send(command, (None, self._loop.time(), inf))

    def close(self, reason: str = "is not needed any more") -> None:
        """End the connection; every pending call fails now with `StoreUnavailable`: "Redis at ... `reason`"."""
        if self._transport is None:
            return
        self._transport.abort()
        self._transport = None
        sentence = f"Redis at {self._name} {reason}"
        if self._sweeper is not None:
            self._sweeper.cancel()
        unsent = len(self._pending) - len(self._out)
        for position, (future, _, _) in enumerate(self._pending):
            if future is not None and not future.done():
                future.set_exception(StoreUnavailable(sentence, may_have_run=position < unsent))
        self._pending.clear()
        self._out.clear()
        self.lost.set_result(sentence)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(f"closed the connection ({exc})" if exc else "closed the connection")

    def data_received(self, data: bytes) -> None:
        reader, pending = self._reader, self._pending
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _INCOMPLETE:
                future = pending.popleft()[0]
                if future is None or future.done():
                    continue
                if isinstance(reply, StoreError):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            self.close("sent something that is no answer of a Redis server")

    def _send(self, command: Sequence[Word], slot: tuple[asyncio.Future[Reply] | None, float, float]) -> None:
        if self._transport is None:
            raise StoreUnavailable(self.lost.result())
        if len(self._pending) >= self._max_pending:
            raise StoreUnavailable(f"Redis at {self._name} leaves {self._max_pending} commands unanswered")
        self._out.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type] # its stub says one word
        self._pending.append(slot)
        if len(self._out) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _sweep_next(self, when: float) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweep_at = when
        self._sweeper = self._loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        """End the calls whose time is up; end the connection when its oldest command is stalled."""
        self._sweep_at = inf
        if not self._pending:
            return
        now = self._loop.time()
        due = self._pending[0][1] + self._stall
        if due <= now:
            self.close(f"has not answered for {self._stall:g} s")
            return
        for future, _, expires in self._pending:
            if future is None or future.done():
                continue
            if expires <= now:
                future.set_exception(StoreTimeout(f"Redis at {self._name} did not answer in time", may_have_run=True))
            elif expires < due:
                due = expires
        self._sweep_next(max(due, now + _SWEEP_SECONDS))
