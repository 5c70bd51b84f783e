"""Programs that a benchmark starts, with their CPU time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from proxy.store.embedded.binary import find_server

ROOT = Path(__file__).parents[2]
START_SECONDS = 20.0
STOP_SECONDS = 10.0
LOOPBACK = "127.0.0.1"


class Missing(Exception):
    """Raised when a program that a part needs is not installed; the message says which and where to get it."""


class Failed(Exception):
    """Raised for a measurement that would mean nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Server to measure: its port, the API keys to use, and the processes whose CPU time counts, by role."""

    name: str
    port: int
    keys: tuple[str, ...] = ("none",)
    processes: Mapping[str, tuple[psutil.Process, ...]] = field(default_factory=dict)

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds so far of each role."""
        return {role: cpu_seconds(processes) for role, processes in self.processes.items()}


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds of these processes. The kernel counts in ticks of 10 ms."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def rss(processes: Iterable[psutil.Process]) -> int:
    """Return the resident memory of these processes in bytes."""
    return sum(process.memory_info().rss for process in processes)


def find(program: str, package: str) -> str:
    """Return the path of a program, also of one that only root's PATH has. Raises `Missing`."""
    found = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if found is None:
        raise Missing(f"{program} is not installed (Debian package `{package}`)")
    return found


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def make(folder: Path) -> None:
    """Make a folder that is not there yet."""
    folder.mkdir()


@contextlib.asynccontextmanager
async def running(
    *command: str,
    port: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> AsyncIterator[psutil.Process]:
    """Run a server for as long as the context; entered once it listens on `port`.

    Raises `Failed` if it does not within that many seconds.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            cwd=ROOT,
            start_new_session=True,  # an interrupt of the benchmark stops it by way of this context, not before
        )
    try:
        await _listening(process, port, log, seconds)
        yield psutil.Process(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int, log: Path, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return
    raise Failed(f"a server did not start; its log says:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]


async def output_of(*command: str, stdin: bytes = b"", seconds: float) -> bytes:
    """Run a program to its end. Raises `Failed` when it fails or takes longer than `seconds`."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT)
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate(stdin)
    except TimeoutError:
        raise Failed(f"{command[0]} took longer than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Failed(f"{command[0]} failed: {(errors or output).decode(errors='replace')[-500:]}")
    return output


def uvicorn(app: str, port: int, *, lifespan: str = "off") -> tuple[str, ...]:
    """Return the command of a stock server with the parser and the event loop that Tollgate uses."""
    settings = ("--http", "httptools", "--loop", "uvloop", "--lifespan", lifespan, "--no-access-log")
    where = ("--host", LOOPBACK, "--port", str(port), "--log-level", "warning")
    return (sys.executable, "-m", "uvicorn", app, *settings, *where)


@contextlib.asynccontextmanager
async def upstream(folder: Path) -> AsyncIterator[Candidate]:
    """Run the upstream of `upstream.py` in a process of its own."""
    port = free_port()
    command = (sys.executable, "-m", "tests.benchmarks.upstream", str(port))
    async with running(*command, port=port, log=folder / "upstream.log") as process:
        yield Candidate("direct", port, processes={"upstream": (process,)})


@contextlib.asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[tuple[int, psutil.Process]]:
    """Run a Redis with the durability of the embedded one, on a port, for a peer that cannot use a unix socket."""
    port = free_port()
    make(folder)
    where = ("--bind", LOOPBACK, "--port", str(port), "--dir", str(folder))
    how = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
    async with running(find_server(folder), *where, *how, port=port, log=folder / "redis.log") as process:
        yield port, process
