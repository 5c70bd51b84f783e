"""Instructions that a worker executes for one request, counted by callgrind.

Nothing that happens beside it on the machine changes them, so that they show what a change costs where times do not.
The kernel's are not among them. One connection, one request after the other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import sys
import time
from pathlib import Path

import psutil

from tests.benchmarks import nginx, worker_under
from tests.benchmarks.bare import NAME as BARE
from tests.benchmarks.bare import bare
from tests.benchmarks.client import KeepAliveConnection, request
from tests.benchmarks.programs import Candidate, Failed, find, output_of
from tests.benchmarks.report import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.wrk import BODY
from tests.support.deployment import Deployment

TITLE = "instructions of a worker per request, POST /text-to-image"
METRIC = "instructions"
WARM, REQUESTS = 200, 500
IDLE_SECONDS = 2.0
CONTROL_SECONDS = 60.0


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Count for all of Tollgate, and for the chain that has nothing in it. Raises `Missing` without valgrind."""
    find("callgrind_control", "valgrind")
    async with nginx.static(folder / "upstream") as direct:
        output = folder / "tollgate.out"
        command = sys.executable, "-m", worker_under.__name__, *_callgrind(output)
        async with running_tollgate(
            folder / "tollgate", direct, command=command, seconds=worker_under.START_SECONDS
        ) as ours:
            worker = _worker(ours.deployment)
            candidate = dataclasses.replace(ours.candidate, processes={"worker": (worker,)})
            section.add(candidate.name, {METRIC: await _count(candidate, output)})
        async with bare(folder / "bare", direct, under=_callgrind(folder / "bare.out")) as chain:
            section.add(BARE, {METRIC: await _count(chain, folder / "bare.out")})
    for name in (ours.candidate.name, BARE):
        section.figure(f"{name}: instructions per request", section.median(name, METRIC))
    section.figure(f"{ours.candidate.name} / {BARE}", section.ratio(METRIC, ours.candidate.name, BARE))


def _worker(deployment: Deployment) -> psutil.Process:
    """Return the worker, which has no title of its own under callgrind; each server of HTTP logs its process."""
    assert deployment.process is not None
    events = " ".join(str(line["event"]) for line in deployment.lines())
    [worker] = {int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", events)} - {deployment.process.pid}
    return psutil.Process(worker)


def _callgrind(output: Path) -> tuple[str, ...]:
    """Return the beginning of a command that counts from when it is told to, and writes to files named `output`."""
    valgrind = find("valgrind", "valgrind")
    return valgrind, "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={output}"


async def _count(candidate: Candidate, output: Path) -> float:
    """Return the instructions per request of the candidate's worker, without what it does while it has none."""
    [worker] = candidate.processes["worker"]
    call = request("POST", "/text-to-image", BODY, candidate.keys[0])

    async def control(*orders: str) -> None:
        await output_of("callgrind_control", *orders, str(worker.pid), seconds=CONTROL_SECONDS)

    await _exchange(candidate.port, call, WARM)
    await control("-i", "on")
    await _exchange(candidate.port, call, WARM)
    await control("-z")
    began = time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    await control("-d")
    idle = _latest(output) / (time.monotonic() - began)
    began = time.monotonic()
    await _exchange(candidate.port, call, REQUESTS)
    seconds = time.monotonic() - began
    await control("-d")
    return (_latest(output) - idle * seconds) / REQUESTS


async def _exchange(port: int, call: bytes, requests: int) -> None:
    """Send one request after the other. Raises `Failed` for a response that is no success."""
    completed = asyncio.Event()
    connection = await KeepAliveConnection.open(port, lambda _: None, lambda _: completed.set())
    try:
        for _ in range(requests):
            completed.clear()
            connection.send(call)
            async with asyncio.timeout(CONTROL_SECONDS):
                await completed.wait()
            if connection.status != 200:
                raise Failed(f"a response had the status {connection.status}")
    finally:
        connection.close()


def _latest(output: Path) -> int:
    """Return the instructions in the dump that was written last."""
    dumps = sorted(output.parent.glob(f"{output.name}.*"), key=lambda path: int(path.suffix[1:]))
    found = re.search(r"^(?:totals|summary): (\d+)", dumps[-1].read_text(), re.MULTILINE) if dumps else None
    if found is None:
        raise Failed("callgrind has counted nothing")
    return int(found[1])
