"""`tollgate demo` prints lines that work when pasted, leaves no process behind, and keeps its data."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.loader import load
from proxy.cli.demo.plans import PLANS
from tests.store.servers import processes_of
from tests.support.deployment import TOLLGATE, eventually, wait_until_gone

ROOT = Path(__file__).parents[2]


class Demo:
    """`tollgate demo`, running in a process group of its own, as in a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        self.environment["PYTHONPATH"] = str(ROOT)

    async def start(self) -> list[str]:
        """Start; return the lines that it prints, up to the one that says how to stop it."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *TOLLGATE,
                "demo",
                cwd=self.folder,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(60):
            while not lines or "Ctrl-C" not in lines[-1]:
                line = await self.process.stdout.readline()
                assert line, (self.folder / "log").read_text()
                lines.append(line.decode())
        return lines

    async def bash(self, script: str) -> str:
        """Run pasted lines in a shell; return their standard output."""
        process = await asyncio.create_subprocess_exec(
            "bash", "-e", cwd=self.folder, env=self.environment, stdin=-1, stdout=-1, stderr=-1
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(script.encode())
        assert (process.returncode, err) == (0, b"")
        return out.decode()

    async def tollgate(self, *arguments: str) -> Any:
        """Run a command of `tollgate` in the same folder; return its JSON."""
        process = await asyncio.create_subprocess_exec(
            *TOLLGATE, *arguments, "--json", cwd=self.folder, env=self.environment, stdout=-1
        )
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
        assert process.returncode == 0
        return json.loads(out)

    async def interrupt(self) -> int:
        """Interrupt every process of the group, as Ctrl-C does; return the exit code once no process is left."""
        os.killpg(self.process.pid, signal.SIGINT)
        async with asyncio.timeout(60):
            code = await self.process.wait()
        await wait_until_gone(self.processes)
        return code

    def processes(self) -> list[psutil.Process]:
        found = processes_of(self.folder)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    running = Demo(tmp_path)
    yield running
    for process in running.processes():
        process.kill()
    await wait_until_gone(running.processes)


@pytest.fixture
def ports_taken() -> Iterator[None]:
    """Occupy the default ports of Tollgate."""
    with contextlib.ExitStack() as stack:
        for port in (8080, 9090):
            with contextlib.suppress(OSError):  # taken by another program already, which serves as well
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def pasted(lines: list[str]) -> str:
    """Return the indented lines, exactly as printed."""
    return "".join(line for line in lines if line.startswith("  "))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_printed_lines_work_and_the_data_outlives_ctrl_c(demo: Demo, ports_taken: None) -> None:
    keys: set[str] = set()
    client_id, past = "", 0
    for run in (1, 2):
        lines = await demo.start()
        if run == 1:
            apps = {each["name"]: each["client_id"] for each in await demo.tollgate("apps", "list")}
            assert apps.keys() == {"demo", "Lantern Studio"}
            client_id = apps["demo"]
            past = (await demo.tollgate("usage", "--app", client_id))["totals"]["request_count"]
            await shows_something(demo, apps)
        script = pasted(lines)
        knows_the_plans(script)
        keys |= set(re.findall(r"export KEY=(tgk_\w+)", script))
        check(await demo.bash(script))
        link = next(line.strip() for line in lines if "/portal/sign-in/" in line)
        assert "This link signs you in" in await demo.bash(f"curl -sS {link}")
        await eventually(partial(has_used, demo, client_id, past + 3 * run))
        assert await demo.interrupt() in (0, 130)
    assert len(keys) == 2
    assert await has_used(demo, client_id, past + 6)
    await wait_until_gone(demo.processes)
    levels = {json.loads(line)["level"] for line in (demo.folder / "log").read_text().splitlines()}
    assert levels == {"info"}


async def shows_something(demo: Demo, apps: dict[str, str]) -> None:
    """Check that there is a week of traffic, a stream that runs, a refusal to explain, and that all of it adds up."""
    week = await demo.tollgate("usage", "--app", apps["demo"], "--from", f"{datetime.now(UTC) - timedelta(days=7):%F}")
    assert week["totals"]["request_count"] > 150
    assert int(week["totals"]["amount"]) > 0

    async def is_live() -> bool:
        usage = await demo.tollgate("usage", "--app", apps["Lantern Studio"], "--group-by", "workload")
        return "live-video-to-video" in json.dumps(usage)

    await eventually(is_live)
    assert (await demo.tollgate("verify"))["differences"] == []


def knows_the_plans(script: str) -> None:
    """Hazard: a command beside the demo refuses the plans that the demo's own apps have."""
    found = re.search(r"export TOLLGATE_CONFIG=(\S+)", script)
    assert found is not None
    assert load(Path(found[1])).plans.keys() == PLANS.keys()


async def has_used(demo: Demo, client_id: str, count: int) -> bool:
    usage = await demo.tollgate("usage", "--app", client_id)
    return bool(usage["totals"]["request_count"] == count)


def check(output: str) -> None:
    """Check the output of an image, a chat with its limits, and a refusal."""
    assert '"images":[{"url":"/stream/' in output
    assert re.search(r'^data: {.*"finish_reason":"stop"', output, re.MULTILINE)
    assert re.search(r'^ratelimit: "app-requests-per-minute";r=[0-9]+;t=[0-9]+', output, re.MULTILINE)
    assert re.search(r'^ratelimit-policy: "app-requests-per-minute";q=60;w=60', output, re.MULTILINE)
    assert "HTTP/1.1 401 Unauthorized" in output
    assert '"code":"missing_credentials"' in output
