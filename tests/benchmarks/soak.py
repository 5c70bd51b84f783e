"""Growth of memory over many requests."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.benchmarks import nginx
from tests.benchmarks.programs import rss
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import RunningTollgate, running_tollgate
from tests.benchmarks.wrk import saturate

TITLE = "memory of the worker after many requests"
CONNECTIONS = 32
SLICE_SECONDS = 5
SETTLED_SECONDS = 1.0
GROWTH = Target(2, at_most=True)


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Load one deployment until both marks are reached."""
    answered = 0
    sizes = []
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(nginx.static(folder / "upstream"))
        ours = await stack.enter_async_context(running_tollgate(folder / "tollgate", direct))
        for mark in scale.soak:
            while answered < mark:
                answered += (await saturate(ours.candidate, CONNECTIONS, _seconds(scale), folder)).requests
            await asyncio.sleep(SETTLED_SECONDS)
            sizes.append(_measure(section, ours, answered))
    first, last = sizes
    section.figure("growth between the two", (last / first - 1) * 100, "%", GROWTH)


def _seconds(scale: Scale) -> int:
    return min(scale.seconds, SLICE_SECONDS)


def _measure(section: Section, ours: RunningTollgate, answered: int) -> int:
    size = rss(ours.workers)
    files = sum(process.num_fds() for process in ours.workers)
    section.add(f"after {answered:,} requests", {"worker RSS MiB": size / 2**20, "open files": files})
    return size
