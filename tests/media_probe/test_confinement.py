"""A probe process can open neither files nor sockets, start nothing, and use no more than its share."""

from __future__ import annotations

import json
import platform
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from proxy.media_probe import confinement
from proxy.media_probe.pool import ProbePool
from proxy.media_probe.spool import SpoolFolder
from tests.media_probe.running import measured

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in confinement._MACHINES,
    reason="no seccomp filter for this machine",
)

ATTEMPTS = """
import json, os, socket, subprocess, sys, threading
from proxy.media_probe.confinement import confine
restrictions = confine(256 * 2**20)

def refused(attempt):
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError) as error:
        return type(error).__name__
    return ""

def write():
    with os.fdopen(os.dup(1), "wb", 0) as out:
        out.write(b"x")

attempts = {
    "read": lambda: open("/etc/passwd"),
    "list": lambda: os.listdir("/"),
    "create": lambda: open("/tmp/x", "w"),
    "inet": lambda: socket.socket(),
    "unix": lambda: socket.socketpair(),
    "fork": lambda: os.fork() or os._exit(0),
    "thread": lambda: threading.Thread(target=print).start(),
    "program": lambda: os.execv("/bin/true", ["true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
    "unlink": lambda: os.unlink("/tmp/x"),
    "rename": lambda: os.rename("/tmp/x", "/tmp/y"),
    "memory": lambda: bytearray(2**29),
    "raise": lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_NOFILE, (99, 99))
    if os.getuid() else (_ for _ in ()).throw(PermissionError),
}
print(json.dumps([restrictions, {name: refused(attempt) for name, attempt in attempts.items()}]))
"""


def run(script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=False)


def test_confined_process_can_do_nothing_but_compute() -> None:
    done = run(ATTEMPTS)
    restrictions, attempts = json.loads(done.stdout)
    assert set(restrictions) == {"core", "file_size", "processes", "open_files", "memory", "system_calls"}
    assert "" not in attempts.values(), attempts


@pytest.mark.ci
def test_cpu_time_beyond_a_request_ends_the_process() -> None:
    done = run("from proxy.media_probe.confinement import *\nrenew_cpu_seconds(0.2)\nwhile True: pass")
    assert done.returncode == -signal.SIGXCPU


def test_process_whose_parent_is_gone_at_once_does_not_stay() -> None:
    done = run("from proxy.media_probe.confinement import *\ndie_with_parent(1)\nprint('stays')")
    assert (done.returncode, done.stdout) == (0, b"")


async def test_running_process_has_its_limits(pool: ProbePool, spools: SpoolFolder) -> None:
    await measured(pool, spools, bytes(100))
    process = psutil.Process(pool.pids[0])
    limits: dict[str, Any] = {
        name: process.rlimit(getattr(resource, name))
        for name in ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC")
    }
    nothing = (0, 0)
    assert limits == {
        "RLIMIT_AS": (2**29, 2**29),
        "RLIMIT_CORE": nothing,
        "RLIMIT_FSIZE": nothing,
        "RLIMIT_NOFILE": (16, 16),
        "RLIMIT_NPROC": nothing,
    }
    status = Path(f"/proc/{process.pid}/status").read_text()  # noqa: ASYNC240
    assert "Seccomp:\t2\n" in status
    assert process.num_fds() <= 3


@pytest.mark.ci
async def test_a_process_forked_from_a_large_one_does_not_take_itself_for_large(
    pool: ProbePool, spools: SpoolFolder
) -> None:
    """Linux hands the peak of a process's memory on to what it starts."""
    large = bytearray(2**29)
    large[:: resource.getpagesize()] = b"x" * (2**29 // resource.getpagesize())
    await measured(pool, spools, bytes(100))
    pids = pool.pids
    await measured(pool, spools, bytes(100))
    assert pids
    assert pool.pids == pids
