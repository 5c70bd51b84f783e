"""`python -m tests.benchmarks [--quick] [--soak] [PART ...]`: measure, print, and write `bench-results/`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import uvloop

from tests.benchmarks import bulk, chats, instructions, key_checks, keys, latency, saturation, soak, streams, tokens
from tests.benchmarks.programs import ROOT, Failed, Missing
from tests.benchmarks.report import Section
from tests.benchmarks.scale import FULL, QUICK, Scale

RESULTS = ROOT / "bench-results"
OPEN_FILES = 16_384
Part = tuple[str, Callable[[Section, Scale, Path], Awaitable[None]]]
PARTS: dict[str, Part] = {
    "saturation": (saturation.TITLE, saturation.run),
    "chats": (chats.TITLE, chats.run),
    "instructions": (instructions.TITLE, instructions.run),
    "latency": (latency.TITLE, latency.run),
    "streams": (streams.TITLE, streams.run),
    "bulk": (bulk.TITLE, bulk.run),
    "keys": (keys.TITLE, keys.run),
    "key-checks": (key_checks.TITLE, key_checks.run),
    "tokens": (tokens.TITLE, tokens.run),
    "soak": (soak.TITLE, soak.run),
}


def chosen(arguments: list[str]) -> tuple[list[str], bool]:
    """Return the parts to run, in order, and True if the run is a quick one."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Ratios measured side by side.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: does it work, roughly")
    parser.add_argument("--soak", action="store_true", help="with the soak, which a quick run leaves out")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts).difference(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    parts = options.parts or [name for name in PARTS if name != "soak" or not options.quick]
    if options.soak and "soak" not in parts:
        parts.append("soak")
    return parts, options.quick


def main() -> None:
    """Run the chosen parts; exit with 1 if one failed. A part whose programs are not installed is skipped."""
    parts, quick = chosen(sys.argv[1:])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        failed = runner.run(_run(parts, quick=quick))
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


async def _run(parts: list[str], *, quick: bool) -> list[str]:
    """Measure, print and write one part after the other; return the names of those that failed."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    about = _about(quick)
    print("\n".join(_heading(about)), flush=True)
    done: list[Section] = []
    failed = []
    for name in parts:
        title, measure = PARTS[name]
        section = Section(name, title)
        done.append(section)
        if not await _measured(section, measure, QUICK if quick else FULL):
            failed.append(name)
        print(section.markdown(), flush=True)
        _write(about, done)
    return failed


async def _measured(section: Section, measure: Callable[[Section, Scale, Path], Awaitable[None]], scale: Scale) -> bool:
    """Run one part; return False if it failed, in which case its section says why."""
    busy = psutil.cpu_percent(interval=1)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
            await measure(section, scale, Path(folder))
    except Missing as missing:
        section.notes.append(f"**Skipped**: {missing}.")
    except (Failed, AssertionError, OSError, TimeoutError, psutil.Error, ExceptionGroup) as error:
        section.notes.append(f"**Failed**:\n\n```\n{_reason(error)}\n```")
        return False
    finally:
        section.notes.append(
            f"The machine was {busy:.0f} % busy before this part, which took {time.monotonic() - started:.0f} s."
        )
    return True


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".strip()


def _about(quick: bool) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def _heading(about: dict[str, Any]) -> list[str]:
    kind = "A quick run: sizes are reduced, so targets tell little." if about["quick"] else "A full run."
    machine = f"{about['system']}, {about['cores']} cores, Python {about['python']}, load average {about['load']}"
    return [
        "# Benchmarks",
        "",
        f"{kind} {about['at']}, {machine}. Medians of interleaved rounds, with the least and the most;",
        "client, upstream, Redis and candidates share the machine, so compare ratios only.",
        "",
    ]


def _write(about: dict[str, Any], sections: list[Section]) -> None:
    RESULTS.mkdir(exist_ok=True)
    text = "\n".join([*_heading(about), *(section.markdown() for section in sections)])
    (RESULTS / "results.md").write_text(text)
    document = {**about, "sections": [section.document() for section in sections]}
    (RESULTS / "results.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("interrupted")
