"""A process beside the workers that the supervisor keeps running; its standard input is its lifeline."""

from __future__ import annotations

import asyncio
import sys

import structlog
from prometheus_client.multiprocess import mark_process_dead

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.supervisor")

RESTART_SECONDS = (0.5, 30.0)
"""Shortest and longest pause before a process that died is replaced."""
HEALTHY_SECONDS = 60.0
"""Life after which the pause is the shortest again."""


class SideProcess:
    """Runs one module as a process of its own until `stop`."""

    def __init__(self, module: str, stop_seconds: float) -> None:
        self._module = module
        self._stop_seconds = stop_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start it, and replace it whenever it dies."""
        self._watching = asyncio.create_task(self._watch())

    def restart(self) -> None:
        """End the running one, for a new one that reads the configuration anew."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after `stop_seconds`."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(self._stop_seconds):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        pause = RESTART_SECONDS[0]
        while not self._stopping:
            began = loop.time()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, stdin=asyncio.subprocess.PIPE
            )
            code = await self._process.wait()
            mark_process_dead(self._process.pid)  # type: ignore[no-untyped-call]
            if self._stopping:
                return
            if code == 0:
                continue
            log.error("process_died", module=self._module, pid=self._process.pid, code=code)
            pause = RESTART_SECONDS[0] if loop.time() - began > HEALTHY_SECONDS else min(2 * pause, RESTART_SECONDS[1])
            await asyncio.sleep(pause)
