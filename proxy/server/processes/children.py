"""What the supervisor holds of the template and of each process that the template has forked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable

import structlog
from prometheus_client.multiprocess import mark_process_dead

from proxy.server.processes import template
from proxy.server.processes.lifeline import READY, RELOAD

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.supervisor")

REPLACEMENT_SECONDS = 0.5
"""Pause before a template that died is replaced, unless a process has to be started before."""


class TemplateDied(Exception):
    """The template died before it forked the process."""


class Child:
    """A process that the template has forked. It drains on SIGTERM, or when this end of its channel closes."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.code: int | None = None
        """Its exit code, as of `subprocess`; None while it runs, and where the template died before it."""
        self.on_reload: Callable[[], None] | None = None
        self._writer = writer
        self._ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._following = asyncio.create_task(self._follow(reader))

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionResetError):
            while line := await reader.readline():
                if line == READY:
                    self._ready.set_result(True)
                elif line == RELOAD:
                    if self.on_reload is not None:
                        self.on_reload()
                else:
                    self.code = int(line)
        mark_process_dead(self.pid)  # type: ignore[no-untyped-call]
        self._writer.close()
        if not self._ready.done():
            self._ready.set_result(False)

    @property
    def running(self) -> bool:
        return not self._following.done()

    async def ready(self) -> bool:
        """Wait until it is ready or has ended; return whether it is ready."""
        return await asyncio.shield(self._ready) and self.running

    async def ended(self) -> int | None:
        """Wait for its end; return its exit code. Gauges over running processes have lost its share by then."""
        await asyncio.shield(self._following)
        return self.code

    async def stop(self, seconds: float) -> None:
        """Drain it: SIGTERM, and SIGKILL after `seconds`."""
        self.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self.ended()
        except TimeoutError:
            log.error("process_killed", pid=self.pid, reason="did not end in time")
            await self.kill()

    def terminate(self) -> None:
        """Begin to drain it."""
        self._signal(signal.SIGTERM)

    async def kill(self) -> None:
        """End it now, by SIGKILL."""
        self._signal(signal.SIGKILL)
        await self.ended()

    def _signal(self, number: int) -> None:
        if self.running and self.code is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return  # it has just ended


class Template:
    """The template of one supervisor, which is replaced when it dies. A context manager: it ends with the context."""

    def __init__(self) -> None:
        """Fork it. Must be called before this process has an event loop or a thread."""
        self._requests, theirs = socket.socketpair()
        self._one_at_a_time = asyncio.Lock()
        self._closed = False
        self._pid: int | None = os.fork()
        if self._pid == 0:
            self._requests.close()
            try:
                template.serve(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def __enter__(self) -> Template:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._end()

    def watch(self) -> None:
        """Replace it whenever it dies, from now on."""
        asyncio.get_running_loop().add_reader(self._requests, self._died)

    async def start(self, name: str, *descriptors: int) -> Child:
        """Start a process of that name (see `template.MODULES`). It inherits `descriptors`.

        Raises `TemplateDied` if the template dies twice at it.
        """
        async with self._one_at_a_time:
            try:
                self._replace()
                return await self._request(name, descriptors)
            except TemplateDied:
                self._died()
                self._replace()
                return await self._request(name, descriptors)

    async def _request(self, name: str, descriptors: tuple[int, ...]) -> Child:
        mine, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._requests, [name.encode()], [theirs.fileno(), *descriptors])
            except OSError:
                mine.close()
                raise TemplateDied from None
        reader, writer = await asyncio.open_connection(sock=mine)
        try:
            line = await reader.readline()
        except BaseException:
            writer.close()
            raise
        if not line:
            writer.close()
            raise TemplateDied
        return Child(int(line), reader, writer)

    def _died(self) -> None:
        """See that there is a new one soon, and at once if a process has to be started before."""
        if self._pid is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._requests)
        log.error("process_died", process="template", pid=self._pid, code=self._end())
        loop.call_later(REPLACEMENT_SECONDS, self._replace)

    def _replace(self) -> None:
        """Start one from its file if there is none: this process has an event loop now, which a fork would break."""
        if self._pid is not None or self._closed:
            return
        self._requests, theirs = socket.socketpair()
        with theirs:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", template.__name__],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
            )
        self.watch()

    def _end(self) -> int | None:
        """End it; return its exit code. It has nothing to lose, and may be in the middle of its imports."""
        if self._pid is None:
            return None
        self._requests.close()
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self._pid = None
        return os.waitstatus_to_exitcode(status)
