"""Spools keep bodies without delaying anybody, within bounds, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from io import FileIO
from pathlib import Path

import pytest

from proxy.media_probe import spool as module
from proxy.media_probe.spool import FileSpool, SpoolFolder
from tests.media_probe.running import spooled

KIB = 1024


async def contents(spool: FileSpool) -> bytes | None:
    """Return what the spool holds."""
    found = await spool.contents()
    return os.pread(found, spool.size + 1, 0) if isinstance(found, int) else found


@pytest.mark.parametrize("size", [0, 1, 256 * KIB, 256 * KIB + 1, 3_000_000])
@pytest.mark.parametrize("chunk", [997, 65_536, 10_000_000])
async def test_what_was_written_is_kept_byte_for_byte(size: int, chunk: int, spools: SpoolFolder) -> None:
    body = os.urandom(size)
    spool = await spooled(spools, body, chunk)
    assert spool.kept
    assert spool.size == spools.kept == size
    assert await contents(spool) == body
    assert isinstance(await spool.contents(), bytes) is (size <= 256 * KIB)
    spool.close()
    spool.close()
    assert await spool.contents() is None


async def test_a_long_body_leaves_the_memory_and_has_no_name(spools: SpoolFolder) -> None:
    spool = await spooled(spools, bytes(5_000_000))
    await spool.contents()
    assert spools.in_memory == 0
    assert list(spools.folder.iterdir()) == []
    spool.close()


async def test_all_spools_together_are_bounded(tmp_path: Path) -> None:
    """The one that goes beyond is dropped; the others stay, and what it had is free again."""
    spools = SpoolFolder(tmp_path, kept_bytes=1000 * KIB)
    kept = await spooled(spools, bytes(600 * KIB))
    lost = await spooled(spools, bytes(600 * KIB))
    await asyncio.sleep(0.1)
    assert (kept.kept, lost.kept, lost.size) == (True, False, 600 * KIB)
    assert await lost.contents() is None
    assert await contents(kept) == bytes(600 * KIB)
    assert spools.kept == 600 * KIB
    third = await spooled(spools, bytes(400 * KIB))
    assert await contents(third) == bytes(400 * KIB)
    for spool in (kept, lost, third):
        spool.close()
    assert spools.kept == 0
    spools.close()


async def test_many_small_bodies_leave_a_crowded_memory(tmp_path: Path) -> None:
    spools = SpoolFolder(tmp_path, memory_bytes=300 * KIB)
    bodies = [os.urandom(100 * KIB) for _ in range(10)]
    made = []
    for body in bodies:
        made.append(await spooled(spools, body))
        await asyncio.sleep(0.05)
    assert spools.in_memory <= 400 * KIB
    assert [await contents(spool) for spool in made] == bodies
    for spool in made:
        spool.close()
    assert (spools.kept, spools.in_memory) == (0, 0)
    spools.close()


async def test_slow_disk_delays_nobody_and_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()

    def append(file: FileIO | None, data: bytearray, folder: Path) -> FileIO:
        may_go_on.wait(20)
        return real(file, data, folder)

    real = module._append
    monkeypatch.setattr(module, "_append", append)
    spools = SpoolFolder(tmp_path)
    spool = spools.open()
    slowest = 0.0
    for _ in range(200):
        begun = time.perf_counter()
        spool.write(bytes(64 * KIB))
        slowest = max(slowest, time.perf_counter() - begun)
        await asyncio.sleep(0)
    assert slowest < 1
    assert not spool.kept
    assert spools.kept <= module.BACKLOG_BYTES + 512 * KIB
    spool.close()
    may_go_on.set()
    spools.threads.shutdown(wait=True)
    await asyncio.sleep(0.1)
    assert (spools.kept, spools.in_memory) == (0, 0)


@pytest.mark.parametrize("broken", ["not-a-folder", "full"])
async def test_disk_that_cannot_be_written_to_is_no_error(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spool"
    if broken == "not-a-folder":
        folder.write_text("")
    else:

        class Full(FileIO):
            def write(self, data: object, /) -> int:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full(os.devnull, "wb"))
    spools = SpoolFolder(folder)
    spool = await spooled(spools, bytes(600 * KIB))
    assert await spool.contents() is None
    assert not spool.kept
    spool.write(b"more")
    assert spool.size == 600 * KIB + 4
    assert (spools.kept, spools.in_memory) == (0, 0)
    small = await spooled(spools, b"small")
    assert await small.contents() == b"small"
    small.close()
    spool.close()
    spools.close()


async def test_closed_while_it_is_written_frees_everything(spools: SpoolFolder) -> None:
    for _ in range(20):
        spool = spools.open()
        spool.write(bytes(300 * KIB))
        spool.close()
        spool.write(b"late")
        assert await spool.contents() is None
    await asyncio.sleep(0.1)
    assert (spools.kept, spools.in_memory) == (0, 0)


async def test_folder_that_was_closed_keeps_nothing_more(tmp_path: Path) -> None:
    spools = SpoolFolder(tmp_path)
    spools.close()
    spool = await spooled(spools, bytes(300 * KIB))
    assert not spool.kept
    spool.close()
    assert (spools.kept, spools.in_memory) == (0, 0)


async def test_tiny_chunks_cost_no_more_than_their_bytes(spools: SpoolFolder) -> None:
    spool = spools.open()
    for _ in range(100_000):
        spool.write(b"x")
    assert len(spool._buffer) == spools.in_memory == 100_000
    spool.close()
