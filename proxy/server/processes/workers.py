"""The worker processes of one listener: started, watched, replaced and stopped by the supervisor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine

import structlog

from proxy.server.processes.children import Child, Template, TemplateDied

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.supervisor")

START_SECONDS = 30.0
RESTART_SECONDS = (0.1, 5.0)
"""Shortest and longest pause before a worker that died is replaced."""


class WorkerFailed(Exception):
    """A worker did not start; it has written why to standard error."""


class Workers:
    """Keeps `count` workers running on one listener."""

    def __init__(
        self,
        template: Template,
        listener: socket.socket,
        count: int,
        *,
        stop_seconds: float,
        on_reload: Callable[[], None],
    ) -> None:
        """`on_reload` is called when a worker asks for the configuration to be taken anew."""
        self._template = template
        self._listener = listener
        self._on_reload = on_reload
        self._count = count
        self._stop_seconds = stop_seconds
        self._slots: list[Child] = []
        self._retired: Child | None = None
        """The worker that was replaced last in a restart, while it drains."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._restarting = asyncio.Lock()

    @property
    def running(self) -> int:
        """Return the number of workers that serve requests."""
        return sum(worker.running for worker in self._slots)

    async def start(self) -> None:
        """Start all workers. Raises `WorkerFailed` if one does not start; the others are killed then."""
        started = await asyncio.gather(*(self._start() for _ in range(self._count)), return_exceptions=True)
        self._slots = [worker for worker in started if isinstance(worker, Child)]
        failed = next((error for error in started if isinstance(error, BaseException)), None)
        if failed is not None:
            await asyncio.gather(*(worker.kill() for worker in self._slots))
            raise failed
        for slot in range(self._count):
            self._in_background(self._watch(slot))

    async def _start(self) -> Child:
        """Start a worker; return once it takes requests. Raises `WorkerFailed`.

        Cancelled, it leaves no process behind.
        """
        try:
            worker = await self._template.start("worker", self._listener.fileno())
        except TemplateDied:
            raise WorkerFailed from None
        worker.on_reload = self._on_reload
        try:
            async with asyncio.timeout(START_SECONDS):
                if await worker.ready():
                    return worker
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            await worker.stop(START_SECONDS)
            raise
        await worker.kill()
        raise WorkerFailed

    def restart(self) -> None:
        """Replace one worker after the other, in the background: a new one serves requests before its old one stops.

        Nothing happens once they are being stopped.
        """
        if not self._stopping:
            self._in_background(self._replace_all())

    async def stop(self) -> None:
        """Drain all workers, also those that are just being started or replaced."""
        self._stopping = True
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
                    new = await self._start()
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
            log.error("worker_died", pid=worker.pid, code=code)
            await asyncio.sleep(pause)
            try:
                new = await self._start()
            except WorkerFailed:
                pause = min(pause * 2, RESTART_SECONDS[1])
                continue
            pause = RESTART_SECONDS[0]
            if self._slots[slot] is worker:
                self._slots[slot] = new
            else:  # a restart has filled the slot in the meantime
                await new.stop(self._stop_seconds)
