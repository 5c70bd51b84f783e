"""A probe pool with a spool folder on an event loop of its own, for tests that are no coroutines."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import psutil

from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, MediaTools, Verdict
from proxy.media_probe.pool import ProbePool
from proxy.media_probe.spool import FileSpool, SpoolFolder

T = TypeVar("T")


async def spooled(spools: SpoolFolder, body: bytes, chunk: int = 65_536) -> FileSpool:
    """Return a spool that `body` was written to as it would pass."""
    spool = spools.open()
    for start in range(0, len(body), chunk):
        spool.write(body[start : start + chunk])
        await asyncio.sleep(0.001 if len(body) > 2**20 and chunk >= 65_536 else 0)
    return spool


async def measured(
    pool: ProbePool, spools: SpoolFolder, body: bytes, kind: MediaKind = MediaKind.AUDIO
) -> MediaMeasure:
    """Spool `body`, measure it, and free the spool."""
    spool = await spooled(spools, body)
    try:
        return await pool.measure(kind, spool)
    finally:
        spool.close()


class RunningProbe:
    """Measures on behalf of any thread."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.spools = SpoolFolder(folder)
        self.pool = ProbePool()
        self.tools = MediaTools(self.spools, self.pool)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns on the loop of the probe."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=90)

    def measure(self, body: bytes, kind: MediaKind = MediaKind.AUDIO) -> MediaMeasure:
        """Return what `body` holds."""
        return self.run(measured(self.pool, self.spools, body, kind))

    def length(self, body: bytes, kind: MediaKind = MediaKind.AUDIO) -> int:
        """Return the milliseconds of a `body` of which every frame could be counted."""
        found = self.measure(body, kind)
        assert found.verdict is Verdict.MEASURED
        return found.milliseconds

    def close(self) -> None:
        """End the processes and the loop."""
        self.run(self.pool.close())
        self.spools.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def gone(pids: list[int], seconds: float = 5) -> bool:
    """Wait until no process of `pids` is left, not even as a zombie."""
    end = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True
