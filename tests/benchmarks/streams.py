"""Cost of relaying server-sent events: CPU per chunk, and memory per open stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.benchmarks import nginx
from tests.benchmarks.bare import NAME as BARE
from tests.benchmarks.bare import bare
from tests.benchmarks.client import KeepAliveConnection, request
from tests.benchmarks.programs import Candidate, Failed, Missing, cpu_seconds, rss, upstream
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.upstream import chat

TITLE = "POST /llm with `stream`, the tokens metered"
STREAMS = 200
PAUSE_MS = 20
"""Pause between tokens: 50 a second on each of 200 streams come singly, so no two share a system call."""
COST = "worker CPU µs/chunk"
SHARED_COST = "worker CPU µs/event"
MEMORY = "RSS KiB/stream"
LIMIT_SECONDS = 120.0
DIALS = 64
"""Connections that are opened at once."""
SETTLED_SECONDS = 1.0
PER_CHUNK = Target(20, at_most=True)
TO_BARE = Target(1.5, at_most=True)
PER_STREAM = Target(30, at_most=True)


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure CPU of Tollgate and nginx in turn; then memory of a fresh Tollgate each round."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(upstream(folder))
        ours = (await stack.enter_async_context(running_tollgate(folder / "tollgate", source))).candidate
        candidates = [ours, await stack.enter_async_context(bare(folder / "bare", source))]
        try:
            proxy = nginx.proxy(folder / "proxy", source, streaming=True)
            candidates.append(await stack.enter_async_context(proxy))
        except Missing as missing:
            section.notes.append(f"Without nginx: {missing}.")
        for _ in range(scale.rounds):
            for candidate in candidates:
                section.add(f"{candidate.name}, paced", await _cost(candidate, f"pause-{PAUSE_MS}", scale.events))
            for candidate in candidates:
                section.add(f"{candidate.name}, at full speed", await _cost(candidate, "pause-0", scale.events))
        for number in range(scale.rounds):
            async with running_tollgate(folder / f"memory-{number}", source) as fresh:
                section.add("tollgate, open streams", await _memory(fresh.candidate, scale.open_streams))
    paced = section.median("tollgate, paced", COST)
    section.figure(f"CPU per chunk, {STREAMS} streams with a chunk every {PAUSE_MS} ms", paced, "µs", PER_CHUNK)
    to_bare = section.ratio(COST, "tollgate, paced", f"{BARE}, paced")
    section.figure(f"the same / {BARE}", to_bare, target=TO_BARE)
    if len(candidates) > 2:
        section.figure("the same / nginx proxy_pass", section.ratio(COST, "tollgate, paced", "nginx proxy_pass, paced"))
    shared = section.median("tollgate, at full speed", SHARED_COST)
    section.figure("CPU per event at full speed, where events share chunks", shared, "µs", PER_CHUNK)
    kept = section.median("tollgate, open streams", MEMORY)
    section.figure(f"memory per stream, {scale.open_streams:,} open streams", kept, "KiB", PER_STREAM)


async def _cost(candidate: Candidate, model: str, events: int) -> dict[str, float]:
    """Relay `STREAMS` chats, with their connections and requests; chunks are counted as the client gets them."""
    message = request("POST", "/llm", chat(model, events), candidate.keys[0])
    before = cpu_seconds(candidate.processes["worker"])
    async with asyncio.timeout(LIMIT_SECONDS):
        chunks = sum(await asyncio.gather(*(relayed(candidate.port, message) for _ in range(STREAMS))))
    spent = cpu_seconds(candidate.processes["worker"]) - before
    sent = STREAMS * events
    return {COST: spent / chunks * 1e6, SHARED_COST: spent / sent * 1e6, "chunks/event": chunks / sent}


async def relayed(port: int, message: bytes) -> int:
    """Return the number of chunks in which a response came. Raises `Failed` if it is no whole 200."""
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    connection = await KeepAliveConnection.open(
        port, lambda _: None, lambda _: _resolve(done, True), lambda _: _resolve(done, False)
    )
    try:
        connection.send(message)
        if not await done or connection.status != 200:
            raise Failed(f"a stream ended early or was refused (status {connection.status})")
        return connection.chunks
    finally:
        connection.close()


async def _memory(candidate: Candidate, count: int) -> dict[str, float]:
    workers = candidate.processes["worker"]
    message = request("POST", "/llm", chat("hold", 2), candidate.keys[0])
    async with held(candidate.port, message, DIALS):  # what the first streams load is no cost of each
        pass
    await asyncio.sleep(SETTLED_SECONDS)
    before = rss(workers)
    async with held(candidate.port, message, count):
        await asyncio.sleep(SETTLED_SECONDS)
        during = rss(workers)
    return {"worker RSS before MiB": before / 2**20, MEMORY: (during - before) / 1024 / count}


@asynccontextmanager
async def held(port: int, message: bytes, count: int) -> AsyncIterator[None]:
    """Open `count` streams that have begun and go on for as long as the context."""
    dialing = asyncio.Semaphore(DIALS)
    loop = asyncio.get_running_loop()
    opened: list[KeepAliveConnection] = []

    async def open_one() -> None:
        begun: asyncio.Future[bool] = loop.create_future()
        async with dialing:
            connection = await KeepAliveConnection.open(
                port,
                lambda _: _resolve(begun, True),
                lambda _: _resolve(begun, False),
                lambda _: _resolve(begun, False),
            )
            opened.append(connection)
            connection.send(message)
            if not await begun or connection.status != 200:
                raise Failed(f"stream {len(opened)} of {count} did not begin (status {connection.status})")

    try:
        async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(open_one())
        yield
    finally:
        for connection in opened:
            connection.close()


def _resolve(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)
