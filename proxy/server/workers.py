"""The worker processes of one listener: started, watched, replaced and stopped by the supervisor."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Coroutine
from typing import BinaryIO

import structlog
from prometheus_client.multiprocess import mark_process_dead

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.supervisor")

START_SECONDS = 30.0
RESTART_SECONDS = (0.1, 5.0)
"""Shortest and longest pause before a worker that died is replaced."""


class WorkerFailed(Exception):
    """A worker did not start; it has written why to standard error."""


class Worker:
    """One worker process. It drains on SIGTERM, or when this object's end of its lifeline closes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, listener: socket.socket) -> Worker:
        """Start a worker on `listener`; return once it takes requests. Raises `WorkerFailed`.

        Cancelled, it leaves no process behind.
        """
        ready_read, ready_write = os.pipe()
        with os.fdopen(ready_read, "rb", buffering=0) as ready:
            fds = listener.fileno(), ready_write
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "proxy.server.worker",
                    *map(str, fds),
                    stdin=asyncio.subprocess.PIPE,
                    pass_fds=fds,
                )
            finally:
                os.close(ready_write)
            worker = cls(process)
            try:
                async with asyncio.timeout(START_SECONDS):
                    if await _line(ready) == b"ready\n":
                        return worker
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                await worker.stop(START_SECONDS)
                raise
        await worker.kill()
        raise WorkerFailed

    async def stop(self, seconds: float) -> None:
        """Drain it: SIGTERM, and SIGKILL after `seconds`."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self.ended()
        except TimeoutError:
            log.error("worker_killed", pid=self.process.pid, reason="did not drain in time")
            await self.kill()

    async def kill(self) -> None:
        """End it now, by SIGKILL."""
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()

    async def ended(self) -> int:
        """Wait for its end. Return its exit code; gauges over running workers lose its share."""
        code = await self.process.wait()
        mark_process_dead(self.process.pid)  # type: ignore[no-untyped-call]
        return code


class Workers:
    """Keeps `count` workers running on one listener."""

    def __init__(self, listener: socket.socket, count: int, stop_seconds: float) -> None:
        self._listener = listener
        self._count = count
        self._stop_seconds = stop_seconds
        self._slots: list[Worker] = []
        self._retired: Worker | None = None
        """The worker that was replaced last in a restart, while it drains."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarting = asyncio.Lock()

    @property
    def running(self) -> int:
        """Return the number of workers that serve requests."""
        return sum(worker.process.returncode is None for worker in self._slots)

    async def start(self) -> None:
        """Start all workers. Raises `WorkerFailed` if one does not start; the others are killed then."""
        started = await asyncio.gather(
            *(Worker.start(self._listener) for _ in range(self._count)), return_exceptions=True
        )
        self._slots = [worker for worker in started if isinstance(worker, Worker)]
        failed = next((error for error in started if isinstance(error, BaseException)), None)
        if failed is not None:
            await asyncio.gather(*(worker.kill() for worker in self._slots))
            raise failed
        for slot in range(self._count):
            self._in_background(self._watch(slot))

    def restart(self) -> None:
        """Replace one worker after the other, in the background: a new one serves requests before its old one stops."""
        self._in_background(self._replace_all())

    async def stop(self) -> None:
        """Drain all workers, also those that are just being started or replaced."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        running = [*self._slots, self._retired] if self._retired else self._slots
        await asyncio.gather(*(worker.stop(self._stop_seconds) for worker in running))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace_all(self) -> None:
        async with self._restarting:
            for slot in range(self._count):
                try:
                    new = await Worker.start(self._listener)
                except WorkerFailed:
                    log.error("restart_failed", reason="the new worker did not start; the old ones stay")
                    return
                self._retired, self._slots[slot] = self._slots[slot], new
                await self._retired.stop(self._stop_seconds)
                self._retired = None
            log.info("restarted", workers=self._count)

    async def _watch(self, slot: int) -> None:
        """Replace the worker of a slot whenever it dies."""
        pause = RESTART_SECONDS[0]
        while True:
            worker = self._slots[slot]
            code = await worker.ended()
            if self._slots[slot] is not worker:
                continue  # it was replaced in a restart
            log.error("worker_died", pid=worker.process.pid, code=code)
            await asyncio.sleep(pause)
            try:
                new = await Worker.start(self._listener)
            except WorkerFailed:
                pause = min(pause * 2, RESTART_SECONDS[1])
                continue
            pause = RESTART_SECONDS[0]
            if self._slots[slot] is worker:
                self._slots[slot] = new
            else:  # a restart has filled the slot in the meantime
                await new.stop(self._stop_seconds)


async def _line(pipe: BinaryIO) -> bytes:
    """Return the first line of a pipe; empty if it ends without one."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        return await reader.readline()
    finally:
        transport.close()
