"""One pool of probe processes for the tests of this folder that only want media measured."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.media_probe.pool import ProbePool
from proxy.media_probe.spool import SpoolFolder
from tests.media_probe.running import RunningProbe


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProbe]:
    """A running probe, shared by all tests."""
    running = RunningProbe(tmp_path_factory.mktemp("spool"))
    yield running
    running.close()


@pytest.fixture
async def pool() -> AsyncIterator[ProbePool]:
    """A pool of one process, of this test alone."""
    pool = ProbePool(wall_seconds=20)
    yield pool
    await pool.close()
    assert not pool.pids


@pytest.fixture
async def spools(tmp_path: Path) -> AsyncIterator[SpoolFolder]:
    """A spool folder that must be empty at the end."""
    spools = SpoolFolder(tmp_path / "spool")
    yield spools
    spools.close()
    spools.threads.shutdown(wait=True)
    assert (spools.kept, spools.in_memory) == (0, 0)
