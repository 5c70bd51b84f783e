"""A worker that is killed leaves no probe process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.media_probe.running import gone

BODY = Path(__file__).parent / "cases" / "adts.aac"
OWNER = """
import asyncio, sys
from pathlib import Path
from middlewares.usage_tracker.media_probe import MediaKind
from proxy.media_probe.pool import ProbePool
from proxy.media_probe.spool import SpoolFolder

async def main():
    pool, spools = ProbePool(processes=2), SpoolFolder(Path(sys.argv[1]))
    async def one():
        spool = spools.open()
        spool.write(Path(sys.argv[2]).read_bytes())
        await pool.measure(MediaKind.AUDIO, spool)
    await asyncio.gather(one(), one())
    print(*pool.pids, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True])
async def test_worker_that_is_killed_leaves_no_process(stopped: bool, tmp_path: Path) -> None:
    """Not even one that was stopped, and so cannot notice."""
    arguments = (str(tmp_path), str(BODY))
    with subprocess.Popen([sys.executable, "-c", OWNER, *arguments], stdout=subprocess.PIPE) as owner:  # noqa: ASYNC220
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        if stopped:
            os.kill(pids[0], signal.SIGSTOP)
        owner.kill()
    assert await gone(pids)
