"""One pool of probe processes for the meters that want media measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.media_probe.running import RunningProbe


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProbe]:
    """A running probe, shared by all tests."""
    running = RunningProbe(tmp_path_factory.mktemp("spool"))
    yield running
    running.close()
    assert (running.spools.kept, running.spools.in_memory) == (0, 0)
