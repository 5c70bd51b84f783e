"""The probe processes of one worker: few, started when there is something to measure, replaced when they misbehave."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, Spool, Verdict
from proxy.media_probe.child import ProbeChild, ProbeEnded
from proxy.media_probe.protocol import Garbage, measure_of

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.media_probe")

NOT_MEASURED = MediaMeasure(Verdict.NOT_MEASURED)
SERVED = "it has served"
SERVED_AT_MOST = 1000
"""Bodies after which a process is replaced, whatever it leaks."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
"""Between attempts to start a process, where starting fails."""


class ProbePool:
    """A `MediaProbe` of `processes` probe processes, for as many bodies at a time."""

    def __init__(
        self,
        *,
        processes: int = 1,
        waiting: int = 256,
        cpu_seconds: float = 20.0,
        wall_seconds: float = 60.0,
        memory_bytes: int = 512 * 2**20,
        start_seconds: float = 10.0,
    ) -> None:
        """`waiting` bodies may wait for a process; `memory_bytes` is the address space of each process.

        `cpu_seconds` and `wall_seconds` are for one body. What was counted by then is the result.
        """
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._start_seconds = start_seconds
        self._memory_bytes = memory_bytes
        self._room = processes + waiting
        self._free = asyncio.Semaphore(processes)
        self._idle: list[ProbeChild] = []
        self._children: set[ProbeChild] = set()
        self._inside = 0
        self._pause = 0.0
        self._start_again = 0.0
        self._warned = False
        self._closed = False
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="media-probe")

    async def measure(self, kind: MediaKind, spool: Spool) -> MediaMeasure:
        """Return what the body in `spool` holds; `NOT_MEASURED` where no process can say."""
        if self._closed or self._inside >= self._room:
            return NOT_MEASURED
        self._inside += 1
        try:
            async with self._free:
                body = await spool.contents()
                child = None if body is None or self._closed else await self._child()
                if body is None or child is None:
                    return NOT_MEASURED
                return await self._request(child, kind, spool.size, body)
        finally:
            self._inside -= 1

    async def close(self) -> None:
        """End every process and wait until none is left. Whoever waits for a result gets `NOT_MEASURED`."""
        self._closed = True
        children = list(self._children)
        for child in children:
            child.kill("closed")
        await asyncio.gather(*(child.ended for child in children), return_exceptions=True)
        self._threads.shutdown(wait=False)

    @property
    def pids(self) -> list[int]:
        """Process ids of the processes that are running."""
        return [child.pid for child in self._children]

    async def _request(self, child: ProbeChild, kind: MediaKind, size: int, body: bytes | int) -> MediaMeasure:
        try:
            async with asyncio.timeout(self._wall_seconds):
                reported = await child.request(kind, size, body, self._cpu_seconds)
                result = measure_of(reported)
        except TimeoutError:
            child.kill("it took too long")
        except ProbeEnded:
            pass
        except Garbage as error:
            child.kill(str(error))
        except BaseException:
            child.kill("cancelled")
            raise
        else:
            self._release(child, leaving=bool(reported.get("leaving")))
            if result.verdict is Verdict.NOT_MEASURED:
                log.warning("media_probe_failed", problem=str(reported.get("problem"))[:500])
            return result
        return _so_far(child)

    def _release(self, child: ProbeChild, *, leaving: bool) -> None:
        if leaving or child.served >= SERVED_AT_MOST:
            child.kill(SERVED)
        elif child.alive and not self._closed:
            self._idle.append(child)

    async def _child(self) -> ProbeChild | None:
        """Return a process that takes requests; None where none starts."""
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
        if time.monotonic() < self._start_again:
            return None
        try:
            child = await ProbeChild.start(self._threads, self._memory_bytes)
        except OSError as error:
            self._failed_to_start(repr(error))
            return None
        self._children.add(child)
        child.ended.add_done_callback(lambda _: self._gone(child))
        try:
            async with asyncio.timeout(self._start_seconds):
                restrictions = await child.ready()
        except (ProbeEnded, Garbage, TimeoutError) as error:
            child.kill("it did not start")
            self._failed_to_start(repr(error))
            return None
        except BaseException:
            child.kill("cancelled")
            raise
        self._pause = 0.0
        self._warn_if_not_confined(restrictions)
        return child

    def _gone(self, child: ProbeChild) -> None:
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if not self._closed and not child.end_reason.startswith(SERVED):
            log.warning("media_probe_ended", reason=child.end_reason, served=child.served)

    def _failed_to_start(self, error: str) -> None:
        self._pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * self._pause))
        self._start_again = time.monotonic() + self._pause
        log.warning("media_probe_cannot_start", error=error, again_in_seconds=self._pause)

    def _warn_if_not_confined(self, restrictions: list[str]) -> None:
        if not self._warned:
            self._warned = True
            if "system_calls" not in restrictions:
                log.warning("media_probe_not_sandboxed", restrictions=restrictions)


def _so_far(child: ProbeChild) -> MediaMeasure:
    """Return what a process had counted when it ended, which is a lower bound."""
    try:
        return NOT_MEASURED if child.so_far is None else measure_of(child.so_far, Verdict.GAVE_UP)
    except Garbage:
        return NOT_MEASURED
