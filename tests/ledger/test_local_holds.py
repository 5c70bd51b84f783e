"""Requests admitted while Redis was away: their hold is in the journal, and ends there exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Denied, LedgerUnavailable
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.journal_replay import adopt_journals
from middlewares.ledger.settlement.settler import Settler
from proxy.store.store import Store
from tests.ledger.fakes import UnreliableStore
from tests.ledger.test_journal import outcomes
from tests.ledger.worker_ledger import WorkerLedger, never_rejected

ONE_A_MINUTE = Plan.model_validate({"limits": {"app": {"requests_per_minute": 1}}})
PREPAID = {"billing": "credits", "prices": [{"unit": "requests", "amount": 1}]}


@pytest.fixture
def unreliable(store: Store) -> UnreliableStore:
    return UnreliableStore(store)


@pytest.fixture
async def worker_ledger(unreliable: UnreliableStore, keys: RedisKeys, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    """Its upkeep runs only when the test says so."""
    async with WorkerLedger(unreliable, keys, tmp_path) as worker_ledger:
        yield worker_ledger


@pytest.fixture
def app() -> str:
    return f"app_{ULID()}"


async def test_settled_once_redis_is_back(
    worker_ledger: WorkerLedger, unreliable: UnreliableStore, store: Store, keys: RedisKeys, app: str
) -> None:
    unreliable.away = True
    request = await worker_ledger.request(worker_ledger.policy(app, Plan()), {})
    unreliable.away = False
    for _ in range(3):
        await worker_ledger.replay()
    assert await outcomes(store, keys, app) == {request: "complete"}
    assert worker_ledger.reports.replays == 1


async def test_one_that_ends_while_the_journal_is_emptied_is_no_orphan(
    worker_ledger: WorkerLedger, unreliable: UnreliableStore, store: Store, keys: RedisKeys, app: str
) -> None:
    policy = worker_ledger.policy(app, Plan())
    unreliable.away = True
    hold = await worker_ledger.hold(policy)
    unreliable.away = False
    await worker_ledger.replay()
    worker_ledger.settle(hold, policy, {})
    await asyncio.gather(worker_ledger.ledger.drain(), *(worker_ledger.replay() for _ in range(3)))
    await worker_ledger.replay()
    assert await outcomes(store, keys, app) == {hold.request_id: "complete"}
    assert worker_ledger.ledger.journal.size == 0


async def test_one_that_was_never_forwarded_is_no_orphan_of_a_worker_that_dies_next(
    unreliable: UnreliableStore, store: Store, keys: RedisKeys, app: str, tmp_path: Path
) -> None:
    unreliable.away = True
    async with WorkerLedger(unreliable, keys, tmp_path) as worker_ledger:
        worker_ledger.ledger.release(await worker_ledger.hold(worker_ledger.policy(app, Plan(on_orphan="estimate"))))
    settler = Settler(store, keys, never_rejected)
    assert await adopt_journals(tmp_path / "journal", settler, RedisClock()) == (0, [])
    assert await outcomes(store, keys, app) == {}


async def test_a_journal_with_a_running_hold_is_not_replayed_again_and_again(
    worker_ledger: WorkerLedger, unreliable: UnreliableStore, store: Store, keys: RedisKeys, app: str
) -> None:
    policy = worker_ledger.policy(app, Plan())
    unreliable.away = True
    hold = await worker_ledger.hold(policy)
    for _ in range(10):
        await worker_ledger.request(policy, {})
    unreliable.away = False
    await worker_ledger.replay()
    assert worker_ledger.ledger.journal.replayed == worker_ledger.ledger.journal.size > 0, (
        "it still holds the running request"
    )
    worker_ledger.settle(hold, policy, {})
    await worker_ledger.ledger.drain()
    await worker_ledger.replay()
    assert worker_ledger.ledger.journal.size == 0
    assert worker_ledger.reports.replays == 11
    assert len(await outcomes(store, keys, app)) == 11


async def test_an_admission_that_ran_although_nobody_heard_counts_once(
    worker_ledger: WorkerLedger, unreliable: UnreliableStore, store: Store, keys: RedisKeys, app: str
) -> None:
    """Its hold is in Redis and in the journal."""
    unreliable.deaf = True
    request = await worker_ledger.request(worker_ledger.policy(app, Plan()), {})
    unreliable.deaf = False
    await worker_ledger.replay()
    assert await outcomes(store, keys, app) == {request: "complete"}
    redis: Any = store.redis
    assert not await redis.hexists(keys.shared(keys.tag(app)).bodies, request)


async def test_prepaid_plans_are_not_guessed_at_unless_they_say_so(
    worker_ledger: WorkerLedger, unreliable: UnreliableStore, app: str
) -> None:
    unreliable.away = True
    with pytest.raises(LedgerUnavailable):
        await worker_ledger.admit(worker_ledger.policy(app, Plan.model_validate(PREPAID)))
    await worker_ledger.hold(
        worker_ledger.policy(app, Plan.model_validate(PREPAID | {"on_store_loss": "local"})), {Unit.PIXELS: 1}
    )


async def test_a_redis_that_comes_and_goes_grants_no_new_share_each_time(
    worker_ledger: WorkerLedger, unreliable: UnreliableStore, app: str
) -> None:
    policy = worker_ledger.policy(app, ONE_A_MINUTE)
    unreliable.away = True
    await worker_ledger.hold(policy)
    unreliable.away = False
    await worker_ledger.hold(policy)
    unreliable.away = True
    assert isinstance(await worker_ledger.admit(policy), Denied)
