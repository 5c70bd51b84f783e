"""Latency that Tollgate adds to a response at half of its saturation."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from tests.benchmarks import nginx
from tests.benchmarks.openloop import measure
from tests.benchmarks.programs import Candidate, upstream
from tests.benchmarks.report import Section, Target
from tests.benchmarks.saturation import EACH
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.upstream import chat
from tests.benchmarks.wrk import BODY, saturate

TITLE = "constant rate, counted from when each request was due"
STREAMS_PER_SECOND = 200.0
STREAM = chat("pause-10", 10)
"""Request for a stream of a tenth of a second."""
SATURATION_SECONDS = 2
WHOLE = "p50 ms", "p99 ms"
FIRST = "first byte p50 ms", "first byte p99 ms"


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure the upstream directly and through Tollgate, in turn: plain responses, then streams."""
    async with AsyncExitStack() as stack:
        static = await stack.enter_async_context(nginx.static(folder / "static"))
        streaming = await stack.enter_async_context(upstream(folder))
        ours = (await stack.enter_async_context(running_tollgate(folder / "tollgate", static, llm=streaming))).candidate
        each_way = running_tollgate(folder / "each", static, name=EACH, llm=streaming, ledger={"commit": "each"})
        other = (await stack.enter_async_context(each_way)).candidate
        loads = [await saturate(ours, 32, SATURATION_SECONDS, folder) for _ in range(3)]
        rate = median(load.per_second for load in loads) / 2
        section.figure("rate of the plain responses, half of saturation", rate, "requests/s")
        section.figure("rate of the streams", STREAMS_PER_SECOND, "requests/s")
        for _ in range(scale.rounds):
            for candidate in (static, ours, other):
                await _plain(section, candidate, rate, scale.seconds)
            for candidate in (streaming, ours, other):
                await _streams(section, candidate, scale.seconds)
    for metric, bound in zip(WHOLE, (1.0, 5.0), strict=True):
        added = section.difference(metric, "tollgate, plain", "direct, plain")
        section.figure(f"added latency, {metric[:3]}", added, "ms", Target(bound, at_most=True))
        beside = section.difference(metric, f"{EACH}, plain", "direct, plain")
        section.figure(f"the same with commit: each, {metric[:3]}", beside, "ms")
    for metric, goal in zip(FIRST, (None, Target(3.0, at_most=True)), strict=True):
        added = section.difference(metric, "tollgate, stream", "direct, stream")
        section.figure(f"added time to the first byte of a stream, {metric[11:14]}", added, "ms", goal)
        beside = section.difference(metric, f"{EACH}, stream", "direct, stream")
        section.figure(f"the same with commit: each, {metric[11:14]}", beside, "ms")


async def _plain(section: Section, candidate: Candidate, rate: float, seconds: int) -> None:
    result = await measure(candidate, "/text-to-image", BODY, rate, seconds)
    metrics = dict(zip(WHOLE, (result.p50, result.p99), strict=True))
    section.add(f"{candidate.name}, plain", metrics | {"generator late p99 ms": result.late_p99})


async def _streams(section: Section, candidate: Candidate, seconds: int) -> None:
    result = await measure(candidate, "/llm", STREAM, STREAMS_PER_SECOND, seconds)
    metrics = dict(zip(FIRST, (result.first_p50, result.first_p99), strict=True))
    section.add(f"{candidate.name}, stream", metrics | {"generator late p99 ms": result.late_p99})
