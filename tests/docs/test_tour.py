"""The tour of README.md, run: each command works, and prints what the page shows but for ids, times and numbers."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from middlewares.auth.keys import pepper_of
from middlewares.response.metrics import FLUSH_SECONDS
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from tests.docs.pages import section
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
VARIABLE = [
    (r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "ULID"),
    (r"app_[a-z2-7]{16}", "APP"),
    (r'"key":"[a-z2-7]{16}"', '"key":KEY'),
    (r"@[0-9a-f]{8}", "@VERSION"),
    (r"(chatcmpl-|/stream/)[0-9a-f]{8}(/[0-9a-f]{8})?", "ID"),
    (r"date: .*", "date"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"http://127.0.0.1:\d+", "ORIGIN"),
    (r'("created":|t=|retry-after: |in |"reset":|(duration|upstream)_ms":|"milliseconds":)\d+', r"\1N"),
    (r"[ \t]+", " "),
]


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the tour, with the lines it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", section("A tour of five minutes"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def settled(command: str) -> str:
    """Metrics are flushed a few times a second: the command as a reader runs it, a moment after the one before."""
    return command.replace("curl", "steady curl", 1) if "/metrics" in command else command


def alike(line: str) -> str:
    """A printed line without what differs from run to run."""
    for pattern, stand_in in VARIABLE:
        line = re.sub(pattern, stand_in, line)
    return line.strip()


def without_times(lines: list[str]) -> list[str]:
    """Tables have wall times in them, which stand in the column `milliseconds`."""
    if lines and "milliseconds" in lines[0].split():
        column = lines[0].split()[::-1].index("milliseconds")
        return [" ".join(word for place, word in enumerate(line.split()[::-1]) if place != column) for line in lines]
    return lines


async def demo_key(gate: Deployment) -> str:
    """What `tollgate demo` makes: an app named demo on the plan standard, and a key."""
    pepper = pepper_of(gate.settings.auth)
    async with gate.store() as store:
        app, _ = await Apps(store.redis, pepper).create("demo", "standard")
        _, key = await ApiKeys(store.redis, pepper).create(app.client_id, name="demo")
        return key


async def test_the_tour(tmp_path: Path) -> None:
    commands = steps()
    assert len(commands) > 10
    async with deployed(tmp_path) as gate:
        marker = "--- end of a step ---"
        text = "\n".join(f"{settled(command)}\necho '{marker}'" for command, _ in commands)
        text = text.replace("http://127.0.0.1:8080", gate.public).replace("http://127.0.0.1:9090", gate.private)
        environment = {
            **gate.environment,
            "KEY": await demo_key(gate),
            "PYTHONPATH": str(Path.cwd()),
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
            cwd=tmp_path,
        )
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
    printed = output.decode().replace("\r", "").split(f"{marker}\n")
    assert len(printed) == len(commands) + 1, output.decode()
    for (command, shown), lines in zip(commands, printed, strict=False):
        expected = [alike(line) for line in without_times(shown) if line.strip()]
        assert [alike(line) for line in without_times(lines.splitlines()) if line.strip()] == expected, command
