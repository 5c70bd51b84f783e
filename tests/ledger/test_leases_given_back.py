"""A request that is over gives its place back before what it used is known; its hold stays, and ends exactly once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.model import Admitted, Denied
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement import hold_renewal
from proxy.store.store import Store
from tests.ledger.fakes import UnreliableStore
from tests.ledger.test_journal import outcomes
from tests.ledger.worker_ledger import WorkerLedger
from tests.ledger.workers import workers
from tests.store.servers import RedisServer

PLAN = Plan.model_validate(
    {
        "limits": {
            "app": {"concurrent": 1, "caps": [{"unit": "output_tokens", "per": "month", "max": 100}]},
        }
    }
)


async def admitted(worker: WorkerLedger, app: str) -> Admitted:
    """Admit one request of the app."""
    found = await worker.admit(worker.policy(app, PLAN), units={Unit.OUTPUT_TOKENS: 40})
    assert isinstance(found, Admitted)
    return found


def places_of(worker: WorkerLedger, app: str) -> str:
    """Return the key of the app's leases."""
    [key] = [rule.keys[0] for rule in worker.policy(app, PLAN).rules if rule.kind == "c"]
    return key


async def eventually_free(store: Store, worker: WorkerLedger, app: str) -> None:
    """Wait until nobody has a place: the first call of a script takes two round trips."""
    async with asyncio.timeout(60):
        while await store.redis.zcard(places_of(worker, app)):
            pass


async def test_the_next_request_finds_a_place_and_the_hold_still_holds(
    redis_server: RedisServer, store: Store, tmp_path: Path
) -> None:
    app = f"app_{ULID()}"
    async with workers(redis_server, tmp_path, number=1) as [worker]:
        policy = worker.policy(app, PLAN)
        first = await admitted(worker, app)
        assert isinstance(await worker.admit(policy, units={Unit.OUTPUT_TOKENS: 1}), Denied)
        worker.ledger.release_leases(first.hold)
        await eventually_free(store, worker, app)
        second = await admitted(worker, app)
        worker.ledger.release_leases(second.hold)
        await eventually_free(store, worker, app)
        third = await worker.admit(policy, units={Unit.OUTPUT_TOKENS: 40})
        assert isinstance(third, Denied)
        assert third.code == "plan_limit", "40 and 40 are still reserved"
        for each in (first, second):
            worker.settle(each.hold, policy, {Unit.OUTPUT_TOKENS: 1})
        await worker.ledger.drain()
        assert await outcomes(store, worker.keys, app) == dict.fromkeys(
            (first.hold.request_id, second.hold.request_id), "complete"
        )


async def test_renewal_does_not_take_the_place_again(
    redis_server: RedisServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = f"app_{ULID()}"
    async with workers(redis_server, tmp_path, number=1) as [worker]:
        places = places_of(worker, app)
        holds = worker.keys.shared(worker.keys.tag(app)).holds
        first = await admitted(worker, app)
        opened = float(await store.redis.zscore(holds, first.hold.request_id) or 0)
        worker.ledger.release_leases(first.hold)
        await eventually_free(store, worker, app)
        now = time.monotonic
        for hours in (1, 2):
            monkeypatch.setattr(hold_renewal, "time", SimpleNamespace(monotonic=lambda: now() + hours * 3600))  # noqa: B023
            await worker.ledger._open_holds.renew()
            assert await store.redis.zcard(places) == 0
        renewed = float(await store.redis.zscore(holds, first.hold.request_id) or 0)
        assert renewed > opened, "the hold itself is renewed"
        await admitted(worker, app)
        assert await store.redis.zcard(places) == 1


async def test_local_request_gives_its_place_back_once(
    redis_server: RedisServer, store: Store, keys: RedisKeys, tmp_path: Path
) -> None:
    unreliable = UnreliableStore(store)
    plan = Plan.model_validate({"limits": {"app": {"concurrent": 1}}})
    async with WorkerLedger(unreliable, keys, tmp_path) as worker:
        policy = worker.policy(f"app_{ULID()}", plan)
        unreliable.away = True
        first = await worker.hold(policy)
        assert isinstance(await worker.admit(policy), Denied)
        worker.ledger.release_leases(first)
        second = await worker.hold(policy)
        worker.settle(first, policy, {})
        assert isinstance(await worker.admit(policy), Denied), "the second one's place is its own"
        worker.settle(second, policy, {})
        await worker.ledger.drain()
        assert isinstance(await worker.admit(policy), Admitted)
