"""The `console` blocks of each README, run: each command works, and prints what the page shows.

The blocks of a page run in one shell, in order, against a deployment like that of `tollgate demo`. Ids, times and
durations may differ.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from middlewares.auth.keys import pepper_of
from middlewares.response.metrics import FLUSH_SECONDS
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from tests.docs.pages import ROOT, Block, blocks
from tests.support.deployment import Deployment, deployed

SHELL = """
set -o pipefail
tollgate() {{ {python} -m proxy.cli.main "$@"; }}
steady() {{
  local before now
  for _ in $(seq 40); do
    now=$("$@")
    [ "$now" = "$before" ] && break
    before=$now
    sleep {flush}
  done
  echo "$now"
}}
{commands}
"""
MARKER = "--- end of a step ---"
VARIABLE = [
    (r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "ULID"),
    (r"(app|usr)_[a-z2-7]{16}", r"\1"),
    (r'"key":"[a-z2-7]{16}"', '"key":KEY'),
    (r"@[0-9a-f]{8}", "@VERSION"),
    (r"(chatcmpl-|/stream/)[0-9a-f]{8}(/[0-9a-f]{8})?", "ID"),
    (r"date: .*", "date"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"http://127.0.0.1:\d+", "ORIGIN"),
    (r'("created":|t=|retry-after: |in |"reset":|(duration|upstream)_ms":|"milliseconds":)\d+', r"\1N"),
    (r"[ \t]+", " "),
]
PAGES = sorted({block.page for block in blocks() if block.language == "console"})


def steps_of(found: Iterable[Block]) -> list[tuple[str, list[str]]]:
    """Return each command of `console` blocks, with the lines it prints."""
    steps: list[tuple[str, list[str]]] = []
    for block in found:
        for at, line in enumerate(block.text.splitlines()):
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                assert at > 0, f"{block} does not begin with a command"
                steps[-1][1].append(line)
    return steps


def settled(command: str) -> str:
    """Return the command as a reader runs it, a moment after the one before: metrics are flushed in the background."""
    return command.replace("curl", "steady curl", 1) if "/metrics" in command else command


def alike(line: str) -> str:
    """Return a printed line without what differs from run to run."""
    for pattern, name in VARIABLE:
        line = re.sub(pattern, name, line)
    return line.strip()


def without_times(lines: list[str]) -> list[str]:
    """Return the lines of a table without wall times, which stand in the column `milliseconds`."""
    for separator in (None, ","):
        if lines and "milliseconds" in lines[0].split(separator):
            column = lines[0].split(separator)[::-1].index("milliseconds")
            words = [line.split(separator)[::-1] for line in lines]
            return [" ".join(word for at, word in enumerate(line) if at != column) for line in words]
    return lines


async def demo_key(deployment: Deployment) -> str:
    """Make what `tollgate demo` makes, an app named demo on the plan standard and a key, and return the key."""
    pepper = pepper_of(deployment.settings.auth)
    async with deployment.store() as store:
        app, _ = await Apps(store.redis, pepper).create("demo", "standard")
        _, key = await ApiKeys(store.redis, pepper).create(app.client_id, name="demo")
        return key


async def run(deployment: Deployment, folder: Path, commands: list[str]) -> list[str]:
    """Run the commands in one shell and return what each printed."""
    text = "\n".join(f"{settled(command)}\necho '{MARKER}'" for command in commands)
    text = text.replace("http://127.0.0.1:8080", deployment.public).replace("http://127.0.0.1:9090", deployment.private)
    environment = {
        **deployment.environment,
        "KEY": await demo_key(deployment),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "*",
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        SHELL.format(python=sys.executable, commands=text, flush=2 * FLUSH_SECONDS),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd=folder,
    )
    async with asyncio.timeout(90):
        output, _ = await process.communicate()
    printed = output.decode().replace("\r", "").split(f"{MARKER}\n")
    assert len(printed) == len(commands) + 1, output.decode()
    return printed[:-1]


def test_several_pages_have_console_blocks() -> None:
    assert "README.md" in PAGES
    assert len(PAGES) > 3


@pytest.mark.parametrize("page", PAGES)
async def test_console_blocks(page: str, tmp_path: Path) -> None:
    steps = steps_of(block for block in blocks() if block.page == page and block.language == "console")
    (tmp_path / "config").symlink_to(ROOT / "config")
    async with deployed(tmp_path) as deployment:
        printed = await run(deployment, tmp_path, [command for command, _ in steps])
    for (command, shown), text in zip(steps, printed, strict=True):
        expected = [alike(line) for line in without_times(shown) if line.strip()]
        assert [alike(line) for line in without_times(text.splitlines()) if line.strip()] == expected, command
