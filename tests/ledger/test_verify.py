"""Running totals are proved against the events: nothing found where all is well, everything found that was bent."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.credit.prepaid import debit, grant
from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.clusters import RedisCluster
from tests.store.conftest import servers_in

HUGE = 10**27
YEAR_2020 = 1_590_000_000_000

PLAN = Plan.model_validate(
    {
        "billing": "credits",
        "limits": {
            "key": {"caps": [{"unit": "requests", "per": "day", "max": 10**9}]},
            "user": {"caps": [{"unit": "tokens", "per": "month", "max": 10**9}]},
            "app": {"caps": [{"unit": "amount", "per": "month", "max": HUGE}], "concurrent": 10**6},
            "global": {"caps": [{"unit": "pixels", "per": "day", "max": 10**9}]},
        },
        "prices": [
            {"unit": "output_tokens", "amount": HUGE // 10**9, "per": 7},
            {"unit": "requests", "amount": 3},
            {"unit": "pixels", "amount": 1},
        ],
        "allowances": [
            {"unit": "pixels", "per": "day", "included": 100},
            {"unit": "amount", "per": "month", "included": 10**20},
        ],
    }
)
PLANS = {"plan": PLAN}


@pytest.fixture(scope="module", params=["single", "cluster"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis for this module: a cluster takes two seconds to become one."""
    with servers_in(tmp_path_factory.mktemp("verified")) as start:
        yield RedisCluster(start).url if request.param == "cluster" else start().url


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty Redis: the whole store is verified."""
    async with await Store.open(url, tmp_path, deadline=30, control_timeout=30) as opened:
        await opened.redis.flushall()
        yield opened


@pytest.fixture
def keys(store: Store) -> RedisKeys:
    return RedisKeys(4, cluster=type(store.redis).__name__ == "RedisCluster")


async def traffic(worker_ledger: WorkerLedger, app: str, number: int) -> None:
    """Users with and without wallets and keys, on two days."""
    user, key = (f"u{number % 3}" if number % 3 else None), (f"k{number % 2}" if number % 2 else None)
    policy = worker_ledger.policy(app, PLAN, user=user, key=key)
    units = {Unit.OUTPUT_TOKENS: number, Unit.PIXELS: 40 * number}
    await worker_ledger.request(policy, units, units, at=YEAR_2020 if number % 5 == 0 else None)


async def busy(store: Store, keys: RedisKeys, worker_ledger: WorkerLedger, apps: list[str]) -> None:
    for app in apps:
        await grant(store, keys, app, None, HUGE, reference="in")
        await grant(store, keys, app, "u1", HUGE, reference="in of a user")
        await debit(store, keys, app, None, 1, reference="out")
    await asyncio.gather(*(traffic(worker_ledger, app, number) for app in apps for number in range(20)))
    for app in apps:  # holds that stay open
        await worker_ledger.hold(worker_ledger.policy(app, PLAN, user="u1", key="k1"), {Unit.OUTPUT_TOKENS: 5})
        await worker_ledger.hold(worker_ledger.policy(app, PLAN), {Unit.OUTPUT_TOKENS: 6})


@pytest.fixture
def apps() -> list[str]:
    return [f"app_{ULID()}" for _ in range(5)]


@pytest.mark.ci
async def test_nothing_differs_where_all_is_well(
    store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path
) -> None:
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        await busy(store, keys, worker_ledger, apps)
        differences, counts = await verify_in(tmp_path, store.redis, keys, PLANS)
        assert differences == []
        assert (counts.events, counts.holds, counts.unknown) == (5 * 23, 10, 0)
        assert counts.totals > 100


async def test_it_reads_in_chunks(
    store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        await busy(store, keys, worker_ledger, apps)
    bent = keys.usage(apps[0], "20200520")
    await store.redis.hincrby(bent, "|||m|requests", 1)
    monkeypatch.setattr("proxy.reporting.verify.verification.CHUNK", 3)
    differences, counts = await verify_in(tmp_path, store.redis, keys, PLANS)
    assert [each.where for each in differences] == [f"{bent} |||m|requests"]
    assert (counts.events, counts.holds) == (5 * 23, 10)


@pytest.mark.sampled(2)
async def test_every_bent_total_is_found(store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path) -> None:
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        await busy(store, keys, worker_ledger, apps)
    redis: Any = store.redis
    bent = set()
    async for name in redis.scan_iter(match="tollgate:*"):
        key = name.decode()
        kind = key.partition("}:")[2].partition(":")[0]
        if kind in ("usage", "wallet", "cap", "allowance"):
            for field, value in (await redis.hgetall(name)).items():
                await redis.hset(name, field, str(int(value) + 1))
                bent.add((kind, f"{key} {field.decode()}", int(value), int(value) + 1))
    assert {kind for kind, *_ in bent} == {"usage", "wallet", "cap", "allowance"}
    differences, _ = await verify_in(tmp_path, redis, keys, PLANS)
    assert {astuple(each) for each in differences} == bent


async def test_lost_totals_are_found(store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path) -> None:
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        await worker_ledger.request(worker_ledger.policy(apps[0], Plan()), {Unit.PIXELS: 5}, at=YEAR_2020)
    await store.redis.delete(keys.usage(apps[0], "20200520"))
    differences, _ = await verify_in(tmp_path, store.redis, keys, {"plan": Plan()})
    assert {(each.what, each.where.rpartition("|")[2], each.expected, each.found) for each in differences} == {
        ("usage", "requests", 1, 0),
        ("usage", "pixels", 5, 0),
    }


async def test_an_event_that_stands_there_twice_is_found(
    store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path
) -> None:
    redis: Any = store.redis
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        requests = [await worker_ledger.request(worker_ledger.policy(app, Plan()), {}) for app in apps]
    stream = keys.shared(keys.tag(apps[0])).events
    entries = await redis.xrange(stream)
    [fields] = [fields for _, fields in entries if requests[0].encode() in fields[b"event"]]
    await redis.xadd(stream, fields)
    differences, _ = await verify_in(tmp_path, redis, keys, {"plan": Plan()})
    assert ("event", f"{stream} {requests[0]}", 1, 2) in {astuple(each) for each in differences}
    assert {each.what for each in differences} == {"event", "usage"}


async def test_a_hold_that_would_never_expire_is_found(
    store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path
) -> None:
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        hold = await worker_ledger.hold(worker_ledger.policy(apps[0], Plan()))
    holds = keys.shared(keys.tag(apps[0])).holds
    await store.redis.zrem(holds, hold.request_id)
    differences, _ = await verify_in(tmp_path, store.redis, keys, {"plan": Plan()})
    assert [astuple(each) for each in differences] == [("hold", f"{holds} {hold.request_id}", 1, 0)]


async def test_caps_of_a_plan_version_that_is_gone_are_left_out(
    store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path
) -> None:
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        await busy(store, keys, worker_ledger, apps)
    changed = Plan.model_validate(PLAN.model_dump(by_alias=True) | {"on_orphan": "attention"})
    for plans in ({}, {"plan": changed}):
        differences, counts = await verify_in(tmp_path, store.redis, keys, plans)
        assert differences == []
        assert counts.unknown > 10


@pytest.mark.slow
async def test_requests_that_go_on_meanwhile_are_no_difference(
    store: Store, keys: RedisKeys, apps: list[str], tmp_path: Path
) -> None:
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        await busy(store, keys, worker_ledger, apps)
        done = asyncio.Event()

        async def go_on() -> int:
            number = 0
            while not done.is_set():
                await asyncio.gather(*(traffic(worker_ledger, app, number) for app in apps))
                number += 1
            return number

        running = asyncio.create_task(go_on())
        for _ in range(5):
            assert (await verify_in(tmp_path, store.redis, keys, PLANS))[0] == []
        done.set()
        assert await running > 5
        bent = keys.usage(apps[0], "20200520")
        await store.redis.hincrby(bent, "|||m|requests", 1)
        assert [each.where for each in (await verify_in(tmp_path, store.redis, keys, PLANS))[0]] == [
            f"{bent} |||m|requests"
        ]
