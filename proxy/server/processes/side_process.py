"""A process beside the workers that the supervisor keeps running."""

from __future__ import annotations

import asyncio

import structlog

from proxy.server.processes.children import Child, Template, TemplateDied

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.supervisor")

RESTART_SECONDS = (0.5, 30.0)
"""Shortest and longest pause before a process that died is replaced."""
HEALTHY_SECONDS = 60.0
"""Life after which the pause is the shortest again."""


class SideProcess:
    """Runs the process of one name (see `template.MODULES`) until `stop`."""

    def __init__(self, template: Template, name: str, stop_seconds: float) -> None:
        self._template = template
        self._name = name
        self._stop_seconds = stop_seconds
        self._process: Child | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start it, and replace it whenever it dies."""
        self._watching = asyncio.create_task(self._watch())

    def restart(self) -> None:
        """End the running one, for a new one that reads the configuration anew."""
        if self._process is not None:
            self._process.terminate()

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after `stop_seconds`."""
        self._stopping = True
        if self._process is not None:
            await self._process.stop(self._stop_seconds)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        pause = RESTART_SECONDS[0]
        while not self._stopping:
            began = loop.time()
            try:
                self._process = await self._template.start(self._name)
                code = await self._process.ended()
            except TemplateDied:
                code = None
            if self._stopping:
                return
            if code == 0:
                continue
            pid = self._process.pid if self._process else None
            log.error("process_died", process=self._name, pid=pid, code=code)
            pause = RESTART_SECONDS[0] if loop.time() - began > HEALTHY_SECONDS else min(2 * pause, RESTART_SECONDS[1])
            await asyncio.sleep(pause)
