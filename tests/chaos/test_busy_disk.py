"""Hazard: a Redis that acknowledges what it has not written yet, because its disk is busy, and is then killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from proxy.store.embedded.redis_process import EmbeddedRedis
from tests.store.servers import processes_of

ROUNDS = 30


@contextlib.contextmanager
def busy_disk(folder: Path, writers: int = 3) -> Iterator[None]:
    """Write and sync large files all the time, so that every sync takes long."""
    loop = "while :; do dd if=/dev/zero of=$0 bs=1M count=300 conv=fsync; done"
    shells = [
        subprocess.Popen(["sh", "-c", loop, str(folder / f"{n}")], stderr=subprocess.DEVNULL, start_new_session=True)
        for n in range(writers)
    ]
    try:
        yield
    finally:
        for shell in shells:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


def kill(data: Path, server: int) -> None:
    """Kill the server, then its supervisor, and what they have started meanwhile."""
    os.kill(server, signal.SIGKILL)
    while processes := processes_of(data):
        for process in processes:
            process.kill()


@pytest.mark.soak
def test_what_was_acknowledged_is_there_after_kill_nine(tmp_path: Path) -> None:
    """Redis's own `appendfsync everysec` loses up to seconds of acknowledged writes in several of these rounds."""
    data, junk = tmp_path / "data", tmp_path / "junk"
    junk.mkdir()
    count, slowest = 0, 0.0
    with busy_disk(junk):
        for _ in range(ROUNDS):
            with EmbeddedRedis.acquire(data, timeout=60) as embedded, Redis.from_url(embedded.url) as redis:
                assert int(redis.get("count") or 0) == count
                server = int(redis.info("server")["process_id"])
                end = time.monotonic() + random.uniform(1, 2)
                while time.monotonic() < end:
                    began = time.monotonic()
                    count = redis.incr("count")
                    slowest = max(slowest, time.monotonic() - began)
                kill(data, server)
    print(
        f"busy disk: {ROUNDS} kills, {count} writes acknowledged, none lost; the slowest took {slowest * 1000:.0f} ms"
    )
