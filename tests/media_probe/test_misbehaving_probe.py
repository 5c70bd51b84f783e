"""A probe process that hangs, dies or talks nonsense is replaced, and the next body is measured."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from middlewares.usage_tracker.media_probe import Verdict
from proxy.media_probe import child
from proxy.media_probe import pool as pool_module
from proxy.media_probe.pool import ProbePool
from proxy.media_probe.spool import SpoolFolder
from tests.media_probe.fake_probe import REPLIES
from tests.media_probe.running import gone, measured

CASES = Path(__file__).parent / "cases"
BODY = (CASES / "adts.aac").read_bytes()
REAL: tuple[str, ...] = child.PROGRAM
NONSENSE = sorted(set(REPLIES) - {"so-far-then-exit", "two-results", "hang", "so-far-then-hang", "leaving"})


@pytest.fixture(autouse=True)
def _real_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "PROGRAM", REAL)


def misbehave(mode: str) -> None:
    """Have processes that start from now on misbehave."""
    child.PROGRAM = (sys.executable, str(Path(__file__).parent / "fake_probe.py"), mode)


async def until_started(pool: ProbePool) -> None:
    """Wait for the first process."""
    while not pool.pids:  # noqa: ASYNC110 (the pool has no event for it)
        await asyncio.sleep(0.01)


async def assert_measures(pool: ProbePool, spools: SpoolFolder) -> None:
    """A body is measured by real processes."""
    child.PROGRAM = REAL
    assert (await measured(pool, spools, BODY)).milliseconds == 5120


async def test_processes_are_started_at_the_first_body_and_kept(pool: ProbePool, spools: SpoolFolder) -> None:
    assert pool.pids == []
    await assert_measures(pool, spools)
    pids = pool.pids
    await assert_measures(pool, spools)
    assert pool.pids == pids
    assert len(pids) == 1


@pytest.mark.sampled(3)
@pytest.mark.parametrize("mode", [*NONSENSE, "abort"])
async def test_nonsense(mode: str, pool: ProbePool, spools: SpoolFolder) -> None:
    misbehave(mode)
    assert (await measured(pool, spools, BODY)).verdict is Verdict.NOT_MEASURED
    await assert_measures(pool, spools)


async def test_unexpected_message(pool: ProbePool, spools: SpoolFolder) -> None:
    """It is not taken for what is said of the next body."""
    misbehave("two-results")
    first = await measured(pool, spools, BODY)
    second = await measured(pool, spools, BODY)
    assert (first.milliseconds, second.milliseconds) in ((1, 0), (1, 1))
    await asyncio.sleep(0.3)
    await assert_measures(pool, spools)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("mode", ["exit-at-start", "noise-at-start", "hang-at-start"])
async def test_start_that_fails_is_tried_again_after_a_pause(
    mode: str, spools: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "FIRST_PAUSE_SECONDS", 0.3)
    pool = ProbePool(start_seconds=3 if mode == "hang-at-start" else 20)
    misbehave(mode)
    assert (await measured(pool, spools, BODY)).verdict is Verdict.NOT_MEASURED
    child.PROGRAM = REAL
    begun = time.monotonic()
    assert (await measured(pool, spools, BODY)).verdict is Verdict.NOT_MEASURED
    assert time.monotonic() - begun < 0.3
    await asyncio.sleep(0.4)
    pool._start_seconds = 20
    await assert_measures(pool, spools)
    await pool.close()


async def test_program_that_is_not_there(pool: ProbePool, spools: SpoolFolder) -> None:
    child.PROGRAM = ("/nowhere/python",)
    assert (await measured(pool, spools, BODY)).verdict is Verdict.NOT_MEASURED


@pytest.mark.ci
@pytest.mark.parametrize(("mode", "verdict"), [("hang", Verdict.NOT_MEASURED), ("so-far-then-hang", Verdict.GAVE_UP)])
async def test_hanging_process_is_killed_and_what_it_counted_kept(
    mode: str, verdict: Verdict, spools: SpoolFolder
) -> None:
    pool = ProbePool(wall_seconds=0.5)
    misbehave(mode)
    found = await measured(pool, spools, BODY)
    assert found.verdict is verdict
    assert found.milliseconds == (1234 if verdict is Verdict.GAVE_UP else 0)
    pool._wall_seconds = 20
    await assert_measures(pool, spools)
    await pool.close()


async def test_what_was_counted_before_the_end_is_kept(pool: ProbePool, spools: SpoolFolder) -> None:
    misbehave("so-far-then-exit")
    found = await measured(pool, spools, BODY)
    assert (found.verdict, found.milliseconds) == (Verdict.GAVE_UP, 1234)
    await assert_measures(pool, spools)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_idle_process_that_dies_is_reaped_and_replaced(
    number: signal.Signals, pool: ProbePool, spools: SpoolFolder
) -> None:
    await assert_measures(pool, spools)
    pids = pool.pids
    os.kill(pids[0], number)
    assert await gone(pids)
    await assert_measures(pool, spools)


async def test_stopped_process_is_replaced(spools: SpoolFolder) -> None:
    pool = ProbePool(wall_seconds=20)
    await assert_measures(pool, spools)
    pids = pool.pids
    os.kill(pids[0], signal.SIGSTOP)
    pool._wall_seconds = 0.3
    assert (await measured(pool, spools, BODY)).verdict is Verdict.NOT_MEASURED
    assert await gone(pids)
    pool._wall_seconds = 20
    await assert_measures(pool, spools)
    await pool.close()


async def test_cancelled_measurement_leaves_no_process(pool: ProbePool, spools: SpoolFolder) -> None:
    misbehave("hang")
    waiting = asyncio.create_task(measured(pool, spools, BODY))
    await until_started(pool)
    await asyncio.sleep(0.3)
    pids = pool.pids
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await gone(pids)
    await assert_measures(pool, spools)


async def test_more_bodies_than_may_wait_are_not_measured(spools: SpoolFolder) -> None:
    pool = ProbePool(processes=2, waiting=3)
    found = await asyncio.gather(*(measured(pool, spools, BODY) for _ in range(20)))
    verdicts = [measure.verdict for measure in found]
    assert verdicts.count(Verdict.MEASURED) == 5
    assert verdicts.count(Verdict.NOT_MEASURED) == 15
    assert len(pool.pids) == 2
    await pool.close()


async def test_close_ends_what_is_running(spools: SpoolFolder) -> None:
    pool = ProbePool()
    misbehave("hang")
    waiting = asyncio.create_task(measured(pool, spools, BODY))
    await until_started(pool)
    pids = pool.pids
    await pool.close()
    assert (await waiting).verdict is Verdict.NOT_MEASURED
    assert await gone(pids, 0.5)
    assert (await measured(pool, spools, BODY)).verdict is Verdict.NOT_MEASURED


@pytest.mark.ci
async def test_process_is_replaced_after_many_bodies(
    pool: ProbePool, spools: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "SERVED_AT_MOST", 2)
    seen = set()
    for _ in range(5):
        await assert_measures(pool, spools)
        seen.update(pool.pids)
    assert len(seen) >= 2


@pytest.mark.ci
async def test_cpu_time_ends_with_what_was_counted(spools: SpoolFolder) -> None:
    pool = ProbePool(cpu_seconds=0.2)
    found = await measured(pool, spools, BODY * 400)
    assert found.verdict is Verdict.GAVE_UP
    assert 5120 < found.milliseconds < 400 * 5120
    await pool.close()


async def test_process_that_leaves_is_replaced_before_the_next_body(pool: ProbePool, spools: SpoolFolder) -> None:
    """It says so with its result, so that no body meets a process that is about to end."""
    misbehave("leaving")
    assert (await measured(pool, spools, BODY)).milliseconds == 1
    await assert_measures(pool, spools)
