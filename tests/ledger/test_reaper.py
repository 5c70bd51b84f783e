"""The reaper ends what the dead have left, whatever it finds, and spares the living."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.periods import day_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER
from middlewares.ledger.settlement.reaper import BATCH, Reaper
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import ScriptRunner
from proxy.store.store import Store
from tests.ledger.fakes import UnreliableStore
from tests.ledger.redis_time import HOLD_MS, Clocked
from tests.ledger.test_journal import outcomes
from tests.ledger.worker_ledger import Reports, WorkerLedger, never_rejected
from tests.store.servers import eventually

DAY_MS = 86_400_000
CHARGED = Plan.model_validate(
    {"billing": "usage", "prices": [{"unit": "pixels", "amount": 1}], "on_orphan": "estimate"}
)


@pytest.fixture
def app() -> str:
    return f"app_{ULID()}"


@pytest.fixture(autouse=True)
async def no_holds_of_other_tests(store: Store) -> None:
    """A reaper sweeps all of Redis, in which other tests of this folder may have left a hold that expires now."""
    redis: Any = store.redis
    await redis.flushall()


def reaper_of(runner: ScriptRunner, keys: RedisKeys, reports: Reports, orphans: list[str]) -> Reaper:
    settler = Settler(runner, keys, never_rejected)
    return Reaper(runner, keys, settler, lambda hold: orphans.append(hold.request_id), reports.lost)


@asynccontextmanager
async def running(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_holds_that_cannot_be_read_do_not_hold_up_the_others(
    store: Store, clocked: Clocked, worker_ledger: WorkerLedger, app: str
) -> None:
    """More of them than a batch, all older than the one that can be ended; each is reported, none is lost."""
    redis: Any = store.redis
    shared = worker_ledger.keys.shared(worker_ledger.keys.tag(app))
    for number in range(BATCH + 5):
        await redis.zadd(shared.holds, {f"spoilt{number}": number})
        await redis.hset(shared.bodies, f"spoilt{number}", '{"of another": "version"}')
    hold = await worker_ledger.hold(worker_ledger.policy(app, Plan()))
    clocked.now_ms += HOLD_MS
    orphans: list[str] = []
    reaper = reaper_of(clocked, worker_ledger.keys, worker_ledger.reports, orphans)
    assert await reaper.sweep() == 1
    assert orphans == [hold.request_id]
    assert len(worker_ledger.reports.losses) == BATCH + 5
    assert await redis.hlen(shared.bodies) == await redis.zcard(shared.holds) == BATCH + 5
    assert await reaper.sweep() == 0
    assert len(worker_ledger.reports.losses) == BATCH + 5, "they are not looked at all the time"


@pytest.mark.ci
async def test_long_requests_of_the_living_are_renewed(store: Store, keys: RedisKeys, app: str, tmp_path: Path) -> None:
    orphans: list[str] = []
    redis: Any = store.redis
    async with WorkerLedger(store, keys, tmp_path, hold_ttl=0.6) as worker_ledger:
        policy = worker_ledger.policy(app, Plan.model_validate({"limits": {"app": {"concurrent": 1}}}))
        hold = await worker_ledger.hold(policy)
        [lease] = policy.rules[0].keys
        holds = keys.shared(keys.tag(app)).holds
        first = await redis.zscore(holds, hold.request_id)

        async def renewed_for_long() -> bool:
            now = await redis.zscore(holds, hold.request_id)
            return now is None or bool(now > first + 2_000)

        async with running(worker_ledger.ledger.run(), reaper_of(store, keys, worker_ledger.reports, orphans).run()):
            await eventually(renewed_for_long)
        assert orphans == []
        assert await redis.zscore(lease, hold.request_id) >= first + 2_000
        worker_ledger.settle(hold, policy, {})
    assert await outcomes(store, keys, app) == {hold.request_id: "complete"}


@pytest.mark.ci
async def test_the_living_get_time_to_come_back_after_redis_was_away(
    store: Store, keys: RedisKeys, app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than a hold lasts nobody could renew, and nobody is dead."""
    monkeypatch.setattr("middlewares.ledger.settlement.reaper.GRACE_SECONDS", 1.5)
    redis: Any = store.redis
    holds, orphans = keys.shared(keys.tag(app)).holds, list[str]()
    unreliable = UnreliableStore(store)

    async def expired() -> bool:
        seconds, _ = await redis.time()
        return bool(await redis.zcount(holds, "-inf", seconds * 1000))

    async def alive_again() -> bool:
        return not await expired()

    async with WorkerLedger(unreliable, keys, tmp_path, hold_ttl=0.3) as worker_ledger:
        policy = worker_ledger.policy(app, CHARGED)
        hold = await worker_ledger.hold(policy, {Unit.PIXELS: 7})
        unreliable.away = True
        async with running(
            worker_ledger.ledger.run(), reaper_of(unreliable, keys, worker_ledger.reports, orphans).run()
        ):
            await eventually(expired)
            unreliable.away = False
            await eventually(alive_again)
            worker_ledger.settle(hold, policy, {})
            await worker_ledger.ledger.drain()
    assert orphans == []
    assert await outcomes(store, keys, app) == {hold.request_id: "complete"}


async def test_a_late_end_corrects_the_day_on_which_the_reaper_counted(
    store: Store, clocked: Clocked, worker_ledger: WorkerLedger, app: str
) -> None:
    """Else one day would stay too high, and a cap of the next would be negative."""
    policy = worker_ledger.policy(app, CHARGED)
    hold = await worker_ledger.hold(policy, {Unit.PIXELS: 100})
    clocked.now_ms += HOLD_MS
    await reaper_of(clocked, worker_ledger.keys, worker_ledger.reports, []).sweep()
    reaped = clocked.now_ms
    clocked.now_ms += DAY_MS
    worker_ledger.settle(hold, policy, {Unit.PIXELS: 30})
    await worker_ledger.ledger.drain()
    redis: Any = store.redis
    entries = await redis.xrange(worker_ledger.keys.shared(worker_ledger.keys.tag(app)).events)
    assert [DECODER.decode(fields[b"event"]).time for _, fields in entries] == [reaped, reaped]
    usage = await redis.hgetall(worker_ledger.keys.usage(app, day_of(reaped)))
    assert {name.rpartition(b"|")[2]: int(number) for name, number in usage.items()} == {
        b"requests": 1,
        b"pixels": 30,
        b"amount": 30,
    }
    assert not await redis.exists(worker_ledger.keys.usage(app, day_of(clocked.now_ms)))
