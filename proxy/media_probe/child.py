"""One probe process as the worker sees it: started, spoken to over a socket, and killed at the first odd word."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from middlewares.usage_tracker.media_probe import MediaKind
from proxy.media_probe import protocol
from proxy.media_probe.protocol import Garbage

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "proxy.media_probe.process")
_ROOT = Path(__file__).parents[2]


class ProbeEnded(Exception):
    """The process ended, or had to be ended, before it sent a result."""


class ProbeChild:
    """A probe process. Whoever has it uses it for one body at a time."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket, threads: Executor) -> None:
        self._process = process
        self._connection = connection
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Any] | None = None
        self._expected = ""
        self.so_far: dict[str, Any] | None = None
        """What the process has counted of the present body; None before its first report."""
        self.served = 0
        """Number of the present request, from 1; 0 while the process starts."""
        self.end_reason = ""
        self.ended = self._loop.create_task(self._read())
        """Done when the process is dead and reaped."""

    @classmethod
    async def start(cls, threads: Executor, memory_bytes: int) -> ProbeChild:
        """Start a process. Raises `OSError`. `threads` must be one thread that outlives the process.

        The kernel kills the process when the thread that started it ends, and forking stops a thread for a while.
        """
        ours, theirs = socket.socketpair()
        started = threads.submit(_spawn, theirs, memory_bytes)
        try:
            process = await asyncio.wrap_future(started)
        except BaseException:
            ours.close()
            started.add_done_callback(lambda _: _discard(started, theirs))
            raise
        ours.setblocking(False)
        return cls(process, ours, threads)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True as far as the worker knows: a process that ends is noticed when its socket closes."""
        return not self.end_reason

    async def ready(self) -> list[str]:
        """Wait until the process takes requests; return its restrictions. Raises `ProbeEnded`."""
        return protocol.ready_of(await self._receive("ready"))

    async def request(self, kind: MediaKind, size: int, body: bytes | int, cpu_seconds: float) -> Any:
        """Return what the process found in `body`, bytes or the descriptor of a file. Raises `ProbeEnded`."""
        self.served += 1
        self.so_far = None
        inline = isinstance(body, bytes)
        line = protocol.request_line(self.served, kind, size=size, inline=inline, cpu_seconds=cpu_seconds)
        try:
            if isinstance(body, int):
                socket.send_fds(self._connection, [line], [body])
            else:
                await self._loop.sock_sendall(self._connection, line + body)
        except OSError:
            self.kill("the socket is closed")
        return await self._receive("result")

    def kill(self, reason: str) -> None:
        """End the process, now. `reason` is for people; the first one counts."""
        self.end_reason = self.end_reason or reason
        self._process.kill()

    async def _receive(self, expected: str) -> Any:
        if self.ended.done():
            raise ProbeEnded(self.end_reason)
        self._expected = expected
        self._reply = self._loop.create_future()
        try:
            return await self._reply
        finally:
            self._reply = None

    async def _read(self) -> None:
        """Read messages until the process ends; then reap it."""
        rest = b""
        try:
            while data := await self._loop.sock_recv(self._connection, protocol.LONGEST_LINE):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > protocol.LONGEST_LINE:
                    raise Garbage("Expected a shorter line")
                for line in lines:
                    self._take(*protocol.message_of(line))
        except (OSError, Garbage) as error:
            self.kill(str(error))
        finally:
            self.kill("it ended")
            self._connection.close()
            with contextlib.suppress(RuntimeError):  # the threads are gone with the loop
                code = await self._loop.run_in_executor(self._threads, self._process.wait)
                self.end_reason += f" (exit code {code})"
            if self._reply is not None and not self._reply.done():
                self._reply.set_exception(ProbeEnded(self.end_reason))

    def _take(self, number: int, name: str, value: Any) -> None:
        if self._reply is None or self._reply.done() or number != self.served:
            raise Garbage("Expected silence")
        if name == "so_far" and isinstance(value, dict):
            self.so_far = value
        elif name == self._expected:
            self._reply.set_result(value)
        else:
            raise Garbage(f"Expected {self._expected}, got {name[:20]!r}")


def _spawn(connection: socket.socket, memory_bytes: int) -> subprocess.Popen[bytes]:
    """Start the program with nothing of ours but the socket: no environment, no files, a session of its own."""
    with connection:
        return subprocess.Popen(  # noqa: S603 (our own program)
            [*PROGRAM, str(os.getpid()), str(memory_bytes)],
            stdin=connection.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            start_new_session=True,
        )


def _discard(started: Future[subprocess.Popen[bytes]], connection: socket.socket) -> None:
    """End a process that nobody waits for any more."""
    connection.close()
    if not started.cancelled() and started.exception() is None:
        started.result().kill()
        started.result().wait()
