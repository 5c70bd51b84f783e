"""Admissions that do not come to their end: what Redis may have reserved for them is given back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Admitted, Denied, LedgerUnavailable
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.journal import read
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import WITHIN, RedisServer, binaries, eventually

DEADLINE = 0.2
LIMITS = {"app": {"concurrent": 2}}
LOCAL = Plan.model_validate({"limits": LIMITS, "on_store_loss": "local", "on_orphan": "estimate"})
REFUSE = Plan.model_validate({"limits": LIMITS, "on_store_loss": "refuse", "on_orphan": "estimate"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One for each test: it is hurt."""
    started = RedisServer(binaries(tmp_path)[0], tmp_path / "redis").start()
    yield started
    started.kill()


@pytest.fixture
async def store(server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(server.url, tmp_path, deadline=DEADLINE) as opened:
        yield opened


@pytest.fixture
async def worker_ledger(store: Store, keys: RedisKeys, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    async with WorkerLedger(store, keys, tmp_path, deadline=DEADLINE) as opened:
        yield opened


class Newcomer(RedisClock):
    """A worker that has not heard of Redis's time yet, so that Redis cannot find an admission too late by itself."""

    known = False


async def nothing_is_reserved(store: Store, worker_ledger: WorkerLedger, policy: Policy) -> None:
    """Once the journal is empty: no hold, no lease, no event."""
    redis: Any = store.redis
    shared = worker_ledger.keys.shared(worker_ledger.keys.tag(policy.app))
    names = [shared.holds, shared.bodies, shared.events, *(key for rule in policy.rules for key in rule.keys)]
    upkeep = asyncio.create_task(worker_ledger.ledger.run())
    try:
        await worker_ledger.ledger.drain()
        await eventually(lambda: worker_ledger.ledger.journal.size == 0)
        assert await redis.exists(*names) == 0
    finally:
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)


async def both_leases_are_free(worker_ledger: WorkerLedger, policy: Policy) -> None:
    """By this worker alone, while Redis is away."""
    decisions = [await worker_ledger.admit(policy) for _ in range(3)]
    assert [type(each) for each in decisions] == [Admitted, Admitted, Denied]
    for each in decisions:
        if isinstance(each, Admitted):
            worker_ledger.ledger.release(each.hold)


@pytest.fixture
async def newcomer(store: Store, keys: RedisKeys, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    async with WorkerLedger(store, keys, tmp_path, deadline=DEADLINE, clock=Newcomer()) as opened:
        yield opened


@pytest.mark.ci
@pytest.mark.parametrize("plan", [LOCAL, REFUSE])
async def test_what_ran_unheard_is_given_back(
    server: RedisServer, store: Store, newcomer: WorkerLedger, plan: Plan
) -> None:
    """Redis runs the admissions after their deadline, when each was refused or admitted without it."""
    worker_ledger = newcomer
    policy = worker_ledger.policy(f"app_{ULID()}", plan)
    server.freeze()
    ends = await asyncio.gather(*(worker_ledger.admit(policy) for _ in range(3)), return_exceptions=True)
    server.thaw()
    if plan is REFUSE:
        assert [type(end) for end in ends] == [LedgerUnavailable] * 3
    else:
        assert sum(isinstance(end, Denied) for end in ends) == 1  # two are admitted if the disk is fast enough
    for end in ends:
        if isinstance(end, Admitted):
            worker_ledger.ledger.release(end.hold)
    await nothing_is_reserved(store, worker_ledger, policy)


async def test_an_admission_that_is_cancelled_leaves_no_hold(
    server: RedisServer, store: Store, worker_ledger: WorkerLedger
) -> None:
    policy = worker_ledger.policy(f"app_{ULID()}", REFUSE)
    server.freeze()
    admissions = [asyncio.create_task(worker_ledger.admit(policy)) for _ in range(3)]
    await asyncio.sleep(0)
    for admission in admissions:
        admission.cancel()
    server.thaw()
    ends = await asyncio.gather(*admissions, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 3
    await nothing_is_reserved(store, worker_ledger, policy)


@pytest.mark.ci
async def test_a_local_admission_that_is_cancelled_leaves_no_lease_and_no_orphan(
    server: RedisServer, store: Store, worker_ledger: WorkerLedger
) -> None:
    policy = worker_ledger.policy(f"app_{ULID()}", LOCAL)
    server.kill()
    while not worker_ledger.reports.local:
        worker_ledger.ledger.release(await worker_ledger.hold(policy))
    for turns in range(10):  # at each of its steps
        admission = asyncio.create_task(worker_ledger.admit(policy))
        for _ in range(turns):
            await asyncio.sleep(0)
        admission.cancel()
        [end] = await asyncio.gather(admission, return_exceptions=True)
        if isinstance(end, Admitted):  # it was done already
            worker_ledger.ledger.release(end.hold)
    await both_leases_are_free(worker_ledger, policy)
    server.start()
    await nothing_is_reserved(store, worker_ledger, policy)


@pytest.mark.ci
async def test_a_disk_that_hangs_is_not_waited_for(
    server: RedisServer, store: Store, worker_ledger: WorkerLedger
) -> None:
    policy = worker_ledger.policy(f"app_{ULID()}", LOCAL)
    server.kill()
    while not worker_ledger.reports.local:
        worker_ledger.ledger.release(await worker_ledger.hold(policy))
    await worker_ledger.ledger.drain()
    answers = threading.Event()
    busy = [asyncio.create_task(asyncio.to_thread(answers.wait)) for _ in range(64)]  # nobody is left to write
    await asyncio.sleep(0)
    async with asyncio.timeout(WITHIN):
        ends = await asyncio.gather(*(worker_ledger.admit(policy) for _ in range(2)), return_exceptions=True)
    assert [type(end) for end in ends] == [LedgerUnavailable] * 2
    answers.set()
    await asyncio.gather(*busy)
    await both_leases_are_free(worker_ledger, policy)
    server.start()
    await nothing_is_reserved(store, worker_ledger, policy)


@pytest.mark.ci
async def test_a_full_journal_refuses_local_admissions_and_gives_their_leases_back(
    server: RedisServer, store: Store, keys: RedisKeys, tmp_path: Path
) -> None:
    async with WorkerLedger(store, keys, tmp_path, deadline=DEADLINE, journal_bytes=1_500) as worker_ledger:
        policy = worker_ledger.policy(f"app_{ULID()}", LOCAL)
        server.kill()
        admitted = 0
        with pytest.raises(LedgerUnavailable):  # noqa: PT012 - the one that finds it full
            while True:
                worker_ledger.ledger.release(await worker_ledger.hold(policy))
                await worker_ledger.ledger.drain()
                admitted += 1
        assert admitted > 0
        assert len(read(worker_ledger.ledger.journal.path.read_bytes())[0]) >= admitted
        for _ in range(5):
            with pytest.raises(LedgerUnavailable):  # a lease that were kept would make it `Denied`
                await worker_ledger.admit(policy)
        server.start()
        await nothing_is_reserved(store, worker_ledger, policy)
