"""`make run` with nothing configured: lines to paste that work, an end that leaves nothing, data that stays."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.store.servers import processes_of
from tests.support.deployment import TOLLGATE, eventually, gone

HOUSE = Path(__file__).parents[2]


class Demo:
    """A running `tollgate demo`, in a process group of its own as a terminal gives it one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        self.environment["PYTHONPATH"] = str(HOUSE)

    async def start(self) -> list[str]:
        """What it prints until it says how to stop it."""
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
        """Standard output of what a person pastes."""
        process = await asyncio.create_subprocess_exec(
            "bash", "-e", cwd=self.folder, env=self.environment, stdin=-1, stdout=-1, stderr=-1
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(script.encode())
        assert (process.returncode, err) == (0, b"")
        return out.decode()

    async def ask(self, *arguments: str) -> Any:
        """A command of `tollgate` in the same folder."""
        process = await asyncio.create_subprocess_exec(
            *TOLLGATE, *arguments, "--json", cwd=self.folder, env=self.environment, stdout=-1
        )
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
        assert process.returncode == 0
        return json.loads(out)

    async def interrupt(self) -> int:
        """Ctrl-C reaches every process of the group; its exit code, once nothing is left of it."""
        os.killpg(self.process.pid, signal.SIGINT)
        async with asyncio.timeout(60):
            code = await self.process.wait()
        await gone(self.processes)
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
    await gone(running.processes)


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Another program listens where the gate would by default."""
    with contextlib.ExitStack() as stack:
        for port in (8080, 9090):
            with contextlib.suppress(OSError):  # taken by somebody already, which serves as well
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def pasted(lines: list[str]) -> str:
    """The indented lines, exactly as printed."""
    return "".join(line for line in lines if line.startswith("  "))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_printed_lines_work_and_the_data_outlives_ctrl_c(demo: Demo, busy_machine: None) -> None:
    keys: set[str] = set()
    client_id = ""
    for run in (1, 2):
        lines = await demo.start()
        script = pasted(lines)
        keys |= set(re.findall(r"export KEY=(tgk_\w+)", script))
        check(await demo.bash(script))
        client_id = client_id or (await demo.ask("apps", "list"))[0]["client_id"]
        await eventually(partial(has_used, demo, client_id, 3 * run))
        assert await demo.interrupt() in (0, 130)
    assert len(keys) == 2
    assert await has_used(demo, client_id, 6)
    await gone(demo.processes)
    levels = {json.loads(line)["level"] for line in (demo.folder / "log").read_text().splitlines()}
    assert levels == {"info"}


async def has_used(demo: Demo, client_id: str, count: int) -> bool:
    usage = await demo.ask("usage", "--app", client_id)
    return bool(usage["totals"]["request_count"] == count)


def check(output: str) -> None:
    """An image, a chat, its limits, and a refusal."""
    assert '"images":[{"url":"/stream/' in output
    assert re.search(r'^data: {.*"finish_reason":"stop"', output, re.MULTILINE)
    assert re.search(r'^ratelimit: "app-requests-per-minute";r=[0-9]+;t=[0-9]+', output, re.MULTILINE)
    assert re.search(r'^ratelimit-policy: "app-requests-per-minute";q=60;w=60', output, re.MULTILINE)
    assert "HTTP/1.1 401 Unauthorized" in output
    assert '"code":"missing_credentials"' in output
