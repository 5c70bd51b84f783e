"""One socket to one Redis, shared by all callers: commands are pipelined, replies resolve in order.

redis-py hands a connection to one caller at a time and writes each command by itself. Here all commands of one
iteration of the event loop leave in one write, and any number of callers wait on the same socket.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Protocol, cast

import hiredis
import msgspec

from middlewares.store import Argument, StoreError, StoreTimeout, StoreUnavailable
from proxy.store.replies import error_from

Reply = Any
"""What RESP2 carries: bytes, int, None, and lists of these (in which errors are `StoreError` values)."""

_SWEEP_SECONDS = 0.005
"""Deadlines are checked at most this often, so thousands that end one after the other cost little."""

_INCOMPLETE = object()

_SHORT = 2048
_LENGTHS = [b"$%d" % length for length in range(_SHORT)]
"""RESP's length lines of the arguments shorter than that."""


def encode(arguments: Iterable[Argument]) -> list[bytes]:
    """Return the arguments as lines of RESP. For a few this is quicker than hiredis, which prints each length anew."""
    lines: list[bytes] = []
    for argument in arguments:
        text = argument if isinstance(argument, bytes) else str(argument).encode()
        length = len(text)
        lines += (_LENGTHS[length] if length < _SHORT else b"$%d" % length, text)
    return lines


def encode_command(arguments: Sequence[Argument]) -> bytes:
    """Return a whole command as RESP."""
    return b"\r\n".join([b"*%d" % len(arguments), *encode(arguments), b""])


class Receiver(Protocol):
    """Takes the reply of one command: a future, or an object like one. Its methods must not raise."""

    def done(self) -> bool:
        """Return True once it waits no more; then it is given nothing."""
        ...

    def set_result(self, reply: Reply, /) -> None:
        """Take the reply."""
        ...

    def set_exception(self, error: StoreError, /) -> None:
        """Take the error that is there in place of a reply."""
        ...


class PendingCommand(msgspec.Struct):
    """A command that waits for its reply. Times are seconds of `time.monotonic`, and count from when it leaves."""

    receiver: Receiver | None
    """None: nobody wants the reply."""
    deadline: float
    sent: float = inf
    expires: float = inf

    def end(self, reply: Reply) -> None:
        """Hand over the reply or, in its place, the `StoreError`; unless nobody waits for it any more."""
        receiver, self.receiver = self.receiver, None
        if receiver is not None and not receiver.done():
            self.deliver(receiver, reply)

    def deliver(self, receiver: Receiver, reply: Reply) -> None:
        """Give `receiver` the reply or the `StoreError`."""
        if isinstance(reply, StoreError):
            receiver.set_exception(reply)
        else:
            receiver.set_result(reply)


class RedisConnection(asyncio.Protocol):
    """A connected socket. It lives until it is closed, lost, or silent for `stall` seconds with a command unanswered.

    Time is counted from when a command leaves, and only while this process is there to read: one that is busy for long
    must not take its own lateness for that of Redis.

    Redis replies in order, so a call that is given up keeps its place in the queue: its late reply is taken out and
    dropped, and never reaches another caller. At most `max_pending` commands wait at a time.
    """

    def __init__(self, name: str, *, stall: float, max_pending: int) -> None:
        self._name = name
        self._stall = stall
        self._max_pending = max_pending
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=partial(error_from, name), notEnoughData=_INCOMPLETE)
        self._pending: deque[PendingCommand] = deque()
        self._out: list[bytes] = []
        self._leaving: list[PendingCommand] = []
        self._sweep_at = inf
        self._sweeper: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Resolves once the connection is gone: a sentence that says why."""

    def call(self, command: Sequence[Argument], deadline: float) -> asyncio.Future[Reply]:
        """Send `command`; the future gets its reply, or a `StoreError` after at most `deadline` seconds.

        Raises `StoreUnavailable` at once when the connection is gone or too many commands wait already.
        """
        future = self._loop.create_future()
        self.send(encode_command(command), PendingCommand(future, deadline))
        return future

    def send_without_reply(self, command: Sequence[Argument]) -> None:
        """Send `command` ahead of the next call, and drop its reply."""
        self.send(encode_command(command), PendingCommand(None, inf))

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
        pending, self._pending = self._pending, deque()
        self._out.clear()
        self._leaving.clear()
        self.lost.set_result(sentence)
        for position, call in enumerate(pending):
            call.end(StoreUnavailable(sentence, may_have_run=position < unsent))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(f"closed the connection ({exc})" if exc else "closed the connection")

    def data_received(self, data: bytes) -> None:
        reader, pending = self._reader, self._pending
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _INCOMPLETE:
                if not pending:  # not by its IndexError, which might be a receiver's
                    raise hiredis.ProtocolError("a reply to nothing")
                pending.popleft().end(reply)
        except hiredis.ProtocolError:
            self.close("sent something that is no reply of a Redis server")

    def send(self, command: bytes, pending: PendingCommand) -> None:
        """Send a command that is encoded already; its reply ends `pending`. Raises as `call` does."""
        if self._transport is None:
            raise StoreUnavailable(self.lost.result())
        if len(self._pending) >= self._max_pending:
            raise StoreUnavailable(f"Redis at {self._name} leaves {self._max_pending} commands unanswered")
        self._out.append(command)
        self._pending.append(pending)
        self._leaving.append(pending)
        if len(self._out) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._transport is None:
            return
        self._transport.write(b"".join(self._out))
        now, due = monotonic(), inf
        for call in self._leaving:
            call.sent, call.expires = now, now + call.deadline
            due = min(due, call.expires)
        self._out.clear()
        self._leaving.clear()
        due = min(due, now + self._stall)
        if due < self._sweep_at:
            self._sweep_next(due)

    def _sweep_next(self, when: float) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweep_at = when
        self._sweeper = self._loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        """End the calls whose time is up; end the connection when its oldest command is stalled."""
        now = monotonic()
        late = now - self._sweep_at
        self._sweep_at = inf
        if not self._pending:
            return
        if late > _SWEEP_SECONDS:  # busy with other things, while replies may have come: the next iteration reads them
            for call in self._pending:
                call.sent += late + _SWEEP_SECONDS
                call.expires += late + _SWEEP_SECONDS
        due = self._pending[0].sent + self._stall
        if due <= now:
            self.close(f"has not replied for {self._stall:g} s")
            return
        expired = []
        for call in self._pending:
            if call.expires <= now:
                expired.append(call)
            elif call.expires < due and call.receiver is not None and not call.receiver.done():
                due = call.expires
        for call in expired:
            call.end(StoreTimeout(f"Redis at {self._name} did not reply in time", may_have_run=True))
        if due < inf:  # else all that wait are only about to leave
            self._sweep_next(max(due, now + _SWEEP_SECONDS))
