"""Large bodies in both directions: throughput, and the memory that they take on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psutil

from tests.benchmarks import nginx
from tests.benchmarks.programs import Candidate, rss, upstream
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.transfer import BLOCK, download, upload

TITLE = "one large body, streamed"
DIRECTIONS: dict[str, Callable[[Candidate, int], float]] = {
    "down": download,
    "up, with a length": partial(upload, chunked=False),
    "up, chunked": partial(upload, chunked=True),
}
RATE = "MiB/s"
MEMORY = "RSS added MiB"
SAMPLE_SECONDS = 0.01
TO_NGINX = Target(0.5)
ADDED = Target(8, at_most=True)


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure upstream, nginx and Tollgate in turn, in each direction."""
    size = scale.bulk_bytes
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(upstream(folder))
        proxy = await stack.enter_async_context(nginx.proxy(folder / "proxy", direct, streaming=True))
        large = {"max_body_bytes": 4 << 30}
        ours = (await stack.enter_async_context(running_tollgate(folder / "tollgate", direct, edge=large))).candidate
        for number in range(-1, scale.rounds):  # round -1 warms up
            for direction, transfer in DIRECTIONS.items():
                for candidate in (direct, proxy, ours):
                    if number < 0:
                        await asyncio.to_thread(transfer, candidate, 16 * len(BLOCK))
                        continue
                    section.add(f"{candidate.name}, {direction}", await _measure(transfer, candidate, size))
    section.notes.append(f"Bodies of {size / 2**20:,.0f} MiB.")
    for direction in DIRECTIONS:
        ratio = section.ratio(RATE, f"tollgate, {direction}", f"nginx proxy_pass, {direction}")
        section.figure(f"throughput {direction}, tollgate / nginx proxy_pass", ratio, target=TO_NGINX)
    for direction in DIRECTIONS:
        most = max(section.measured[f"tollgate, {direction}"][MEMORY])
        section.figure(f"memory of the worker {direction}, worst round", most, "MiB", ADDED)


async def _measure(transfer: Callable[[Candidate, int], float], candidate: Candidate, size: int) -> dict[str, float]:
    processes = next(iter(candidate.processes.values()))
    before = rss(processes)
    cpu = candidate.cpu()
    watch = asyncio.create_task(_peak(processes))
    try:
        seconds = await asyncio.to_thread(transfer, candidate, size)
    finally:
        watch.cancel()
    peak = await watch
    spent = next(iter(candidate.cpu().values())) - next(iter(cpu.values()))
    return {
        RATE: size / 2**20 / seconds,
        MEMORY: (peak - before) / 2**20,
        "CPU ms/MiB": spent * 1_000 / (size / 2**20),
    }


async def _peak(processes: Iterable[psutil.Process]) -> int:
    """Return the largest resident memory seen until cancelled, in bytes."""
    most = 0
    while True:
        most = max(most, rss(processes))
        try:
            await asyncio.sleep(SAMPLE_SECONDS)
        except asyncio.CancelledError:
            return max(most, rss(processes))
