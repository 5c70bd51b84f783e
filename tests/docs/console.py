"""Run the `console` blocks of a page in one shell, in order, against what `tollgate demo` has: tenants with a past.

`python -m tests.docs.console [PAGE ...]` runs those of all or some READMEs, and writes what was printed into the blocks
that show something else.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from middlewares.response.metrics import FLUSH_SECONDS
from proxy.cli.demo.furnish import furnish
from proxy.cli.demo.plans import PLANS
from tests.docs.pages import ROOT, Block, blocks
from tests.support import command_client, command_server
from tests.support.deployment import Deployment, deployed

SHELL = """
set -o pipefail
tollgate() {{ {tollgate} "$@"; }}
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
    (r"(?<!\S)[a-z2-7]{16}(?!\S)", "KEY"),
    (r"@[0-9a-f]{8}", "@VERSION"),
    (r"(chatcmpl-|/stream/)[0-9a-f]{8}(/[0-9a-f]{8})?", "ID"),
    (r"date: .*", "date"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"http://127.0.0.1:\d+", "ORIGIN"),
    (r'("created":|t=|retry-after: |in |"reset":|(duration|upstream)_ms":|"milliseconds":)\d+', r"\1N"),
    (r"[ \t]+", " "),
]
LONGEST_SECONDS = 240
"""Longest time that the commands of one page may take together."""
PUBLIC, PRIVATE = "http://127.0.0.1:8080", "http://127.0.0.1:9090"
"""Origins that pages name."""


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


async def run(deployment: Deployment, folder: Path, commands: list[str]) -> list[str]:
    """Run the commands in one shell and return what each printed."""
    text = "\n".join(f"{settled(command)}\necho '{MARKER}'" for command in commands)
    tollgate = sys.executable, "-I", "-S", command_client.__file__, command_server.server_of("commands")
    text = text.replace(PUBLIC, deployment.public).replace(PRIVATE, deployment.private)
    environment = {
        **deployment.environment,
        "KEY": (await furnish(deployment.settings, deployment.public))[0],
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "*",
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        SHELL.format(tollgate=shlex.join(tollgate), commands=text, flush=2 * FLUSH_SECONDS),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd=folder,
    )
    async with asyncio.timeout(LONGEST_SECONDS):
        output, _ = await process.communicate()
    printed = output.decode().replace("\r", "").split(f"{MARKER}\n")
    assert len(printed) == len(commands) + 1, output.decode()
    return printed[:-1]


async def printed_by(page: str, folder: Path) -> list[tuple[str, list[str], str]]:
    """Run the blocks of a page: each command, the lines that the page shows, and what it printed."""
    steps = steps_of(block for block in blocks() if block.page == page and block.language == "console")
    (folder / "config").symlink_to(ROOT / "config")
    async with deployed(folder, {"plans": PLANS}) as deployment:
        printed = await run(deployment, folder, [command for command, _ in steps])
        printed = [text.replace(deployment.public, PUBLIC).replace(deployment.private, PRIVATE) for text in printed]
    return [(command, shown, text) for (command, shown), text in zip(steps, printed, strict=True)]


def comparable(lines: list[str]) -> list[str]:
    """Return lines without what differs from run to run."""
    return [alike(line) for line in without_times(lines) if line.strip()]


async def record(page: str) -> None:
    """Write what the commands of a page print into its blocks, where it is not what they show."""
    text, at = (ROOT / page).read_text(), 0
    with tempfile.TemporaryDirectory(prefix="tollgate-docs-") as folder:
        found = await printed_by(page, Path(folder))
    for command, shown, printed in found:
        at = text.index(f"$ {command}\n", at)
        indent = text[text.rindex("\n", 0, at) + 1 : at]
        at = text.index("\n", at) + 1
        lines = printed.splitlines()
        if comparable(lines) != comparable(shown):
            old = "".join(f"{indent}{line}\n" if line else "\n" for line in shown)
            new = "".join(f"{indent}{line}\n" if line else "\n" for line in lines)
            assert text[at:].startswith(old), command
            text = text[:at] + new + text[at + len(old) :]
    (ROOT / page).write_text(text)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted({block.page for block in blocks() if block.language == "console"}):
        asyncio.run(record(name))
