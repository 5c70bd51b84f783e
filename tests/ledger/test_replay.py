"""Settlements written again and again, in any order, by several at once: each counts exactly once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.credit.prepaid import grant
from middlewares.ledger.model import Settlement
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler, released
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.worker_ledger import WorkerLedger, never_rejected
from tests.store.servers import RedisServer, binaries

REQUESTS = 250
PLAN = Plan.model_validate(
    {
        "billing": "credits",
        "prices": [{"unit": "output_tokens", "amount": 10**24, "per": 7}, {"unit": "requests", "amount": 1}],
        "allowances": [{"unit": "output_tokens", "per": "month", "included": 1_000}],
        "limits": {"app": {"caps": [{"unit": "output_tokens", "per": "day", "max": 10**9}], "concurrent": 10**4}},
        "on_orphan": "estimate",
    }
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One for each test: the whole store is looked at."""
    started = RedisServer(binaries(tmp_path)[0], tmp_path / "redis").start()
    yield started
    started.kill()


@pytest.fixture
async def store(server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(server.url, tmp_path, deadline=30, control_timeout=30) as opened:
        yield opened


@pytest.fixture
def settler(store: Store, keys: RedisKeys) -> Settler:
    return Settler(store, keys, never_rejected)


async def every_kind(store: Store, keys: RedisKeys, folder: Path) -> list[Settlement]:
    """Ends of requests that have a hold, have lost it, were taken for dead, or were never forwarded."""
    settlements = []
    apps = [f"app_{ULID()}" for _ in range(5)]
    async with (
        WorkerLedger(store, keys, folder) as worker_ledger,
        WorkerLedger(store, keys, folder, hold_ttl=0.001) as dying,
    ):
        for app in apps:
            await grant(store, keys, app, None, 10**27, reference="in")
            await grant(store, keys, app, "u1", 10**27, reference="in of a user")
        for number in range(REQUESTS):
            one = dying if number % 5 == 0 else worker_ledger
            policy = one.policy(apps[number % 7 % 5], PLAN, user=f"u{number % 2}" if number % 3 else None)
            hold = await one.hold(policy, {Unit.OUTPUT_TOKENS: 50})
            if number % 5 == 1:
                hold = msgspec.structs.replace(hold, request_id=str(ULID()))
            used = {Unit.OUTPUT_TOKENS: number % 90}
            forwarded = number % 11 != 3
            settlements.append(one.settlement(hold, policy, used) if forwarded else released(hold, hold.started_ms))
        reaper = Reaper(store, keys, Settler(store, keys, never_rejected), lambda _: None, worker_ledger.reports.lost)
        reaped = 0
        while reaped < REQUESTS // 5:
            reaped += await reaper.sweep()
    return settlements


async def everything(store: Store) -> dict[str, Any]:
    """Every total, every lease, every hold, every event."""
    redis: Any = store.redis
    read = {b"hash": redis.hgetall, b"zset": lambda name: redis.zrange(name, 0, -1), b"stream": redis.xrange}
    names = [name async for name in redis.scan_iter(match="tollgate:*", count=1_000)]
    return {name: await read[kind](name) for name in names if (kind := await redis.type(name)) in read}


def again(settlements: list[Settlement], times: int = 3) -> list[Settlement]:
    """As a journal has them after first attempts without an answer, in any order."""
    for settlement in settlements:
        settlement.attempted_ms = settlement.time_ms
    repeated = settlements * times
    random.Random(5).shuffle(repeated)
    return repeated


async def check(folder: Path, store: Store, keys: RedisKeys, settlements: list[Settlement]) -> None:
    """Each forwarded request has one event, and all totals are what the events say."""
    redis: Any = store.redis
    events = [
        DECODER.decode(fields[b"event"])
        for tag in keys.tags
        for _, fields in await redis.xrange(keys.shared(tag).events)
    ]
    counts = Counter(event.id for event in events if event.type == "usage")
    assert max(counts.values()) == 1
    assert counts.keys() >= {each.hold.request_id for each in settlements if each.forwarded}
    assert max(Counter(event.id for event in events).values()) == 1
    differences, _ = await verify_in(folder, redis, keys, {"plan": PLAN})
    assert differences == []


async def test_replaying_what_was_written_changes_nothing(
    store: Store, keys: RedisKeys, settler: Settler, tmp_path: Path
) -> None:
    settlements = await every_kind(store, keys, tmp_path)
    for settlement in settlements:
        await settler.settle(settlement)
    await check(tmp_path, store, keys, settlements)
    before = await everything(store)
    assert await settler.settle_again(again(settlements)) == 0
    assert await everything(store) == before


async def test_what_was_never_written_is_written_once(
    store: Store, keys: RedisKeys, settler: Settler, tmp_path: Path
) -> None:
    settlements = await every_kind(store, keys, tmp_path)
    for settlement in settlements[::2]:
        await settler.settle(settlement)
    repeated = again(settlements)
    for start in range(0, len(repeated), 40):
        await settler.settle_again(repeated[start : start + 40])
    await check(tmp_path, store, keys, settlements)


@pytest.mark.ci
async def test_several_who_replay_the_same_at_once_count_it_once(
    server: RedisServer, store: Store, keys: RedisKeys, tmp_path: Path
) -> None:
    settlements = await every_kind(store, keys, tmp_path)
    stores = [await Store.open(server.url, tmp_path, deadline=30, control_timeout=30) for _ in range(3)]
    settlers = [Settler(each, keys, never_rejected) for each in stores]
    await asyncio.gather(*(each.settle_again(again(settlements)) for each in settlers))
    for each in stores:
        await each.close()
    await check(tmp_path, store, keys, settlements)
