"""The recorder: bounded in rate and memory, never in the way, and written in one call for each app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.explain import Explain
from config.plans import Plan
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.response.refusals import recorder as module
from middlewares.response.refusals.record import DECODER
from middlewares.response.refusals.recorder import RefusalRecorder
from middlewares.store import Call, StoreUnavailable
from proxy.store.store import Store
from tests.store.servers import DURABLE, RedisServer, binaries
from tests.support.deployment import eventually

PLAN = Plan(tier="standard")
KEYS = RedisKeys(2, cluster=False)
FLOOD = 10_000


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("refusals")
    server = RedisServer(binaries(folder)[0], folder / "redis", *DURABLE).start()
    yield server
    server.kill()


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30) as opened:
        await opened.redis.flushall()
        yield opened


class Clock:
    """A clock of the test's choosing, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Broken:
    """A store that is away."""

    def __init__(self) -> None:
        self.calls = 0

    def run(self, call: Call, *, deadline: float | None = None) -> asyncio.Future[Any]:
        self.calls += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(StoreUnavailable("away"))
        return future


def recorder_of(runner: Any, clock: Clock | None = None, **settings: Any) -> RefusalRecorder:
    return RefusalRecorder(runner, KEYS, RedisClock(), Explain(**settings), monotonic=clock or Clock())


def note(recorder: RefusalRecorder, number: int = 0, app: str = "app_a", code: str = "rate_limited") -> None:
    exchange = Exchange(f"id-{number}", 0.0, "POST", "/llm")
    exchange.principal = Principal(app, None, "key_a", "plan", PLAN)
    recorder.note(exchange, Refusal(429, code, "too fast"))


async def ring(store: Store, app: str = "app_a") -> list[str]:
    entries: Any = await store.redis.xrange(KEYS.refusals(app))
    return [DECODER.decode(fields[b"refusal"]).id for _, fields in entries]


async def unrecorded(store: Store, app: str = "app_a") -> dict[str, int]:
    found: Any = await store.redis.hgetall(KEYS.unrecorded(app))
    return {rule.decode(): int(number) for rule, number in found.items()}


async def test_a_burst_is_recorded_in_full_and_a_flood_is_counted(store: Store) -> None:
    clock = Clock()
    recorder = recorder_of(store, clock, burst=20, per_second=2.0)
    for number in range(FLOOD):
        note(recorder, number)
    await recorder.flush()
    assert await ring(store) == [f"id-{number}" for number in range(20)]
    assert await unrecorded(store) == {"rate_limited": FLOOD - 20}
    clock.now += 1.5
    for number in range(10):
        note(recorder, FLOOD + number)
    note(recorder, -1, code="plan_limit")
    await recorder.flush()
    assert (await ring(store))[20:] == [*(f"id-{FLOOD + number}" for number in range(3)), "id--1"]
    assert await unrecorded(store) == {"rate_limited": FLOOD - 20 + 7}


async def test_a_ring_keeps_the_newest_and_ends(store: Store) -> None:
    recorder = recorder_of(store, ring=5, ring_seconds=60)
    for number in range(12):
        note(recorder, number)
    await recorder.flush()
    assert await ring(store) == [f"id-{number}" for number in range(7, 12)]
    assert 0 < await store.redis.pttl(KEYS.refusals("app_a")) <= 60_000
    assert await store.redis.smembers(KEYS.shared(KEYS.tag("app_a")).refused) == {b"app_a"}


async def test_apps_have_rings_of_their_own(store: Store) -> None:
    recorder = recorder_of(store)
    for number, app in enumerate(("app_a", "app_b", "app_a")):
        note(recorder, number, app)
    await recorder.flush()
    assert (await ring(store), await ring(store, "app_b")) == (["id-0", "id-2"], ["id-1"])


async def test_nothing_is_recorded_of_nobody_or_where_it_is_off(store: Store) -> None:
    recorder, off = recorder_of(store), recorder_of(store, burst=0)
    recorder.note(Exchange("id", 0.0, "GET", "/"), Refusal(401, "missing_credentials", "no"))
    note(off)
    await recorder.flush()
    await off.flush()
    assert await store.redis.dbsize() == 0


async def test_a_lost_store_loses_refusals_and_nothing_else() -> None:
    broken = Broken()
    recorder = recorder_of(broken)
    note(recorder)
    await recorder.flush()
    await recorder.flush()
    assert broken.calls == 1


async def test_memory_is_bounded_while_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 30)
    monkeypatch.setattr(module, "BUCKETS", 10)
    recorder = recorder_of(Broken())
    for number in range(1_000):
        note(recorder, number, f"app_{number}")
    assert len(recorder._records) == 30
    assert len(recorder._unrecorded) == 10
    assert len(recorder._buckets) <= 10


async def test_what_is_noted_is_written_soon(store: Store) -> None:
    recorder = recorder_of(store)
    running = asyncio.create_task(recorder.run())
    note(recorder)

    async def written() -> bool:
        return await ring(store) == ["id-0"]

    await eventually(written)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
