"""Hazard: `kill -9`. Usage that nobody wrote down, limits that nobody gives back, money held for ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path

import aiohttp
import psutil
import pytest

from middlewares.ledger.credit.prepaid import grant
from proxy.store.configured import redis_keys
from tests.chaos.assertions import audit, quiet, slay
from tests.chaos.load import HELD, Load, post
from tests.support.deployment import Customer, Deployment, deployed, eventually, gone

TTL = 3.0
CONCURRENT = 10
PLANS = {
    "postpaid": {
        "billing": "usage",
        "on_orphan": "estimate",
        "limits": {"app": {"concurrent": CONCURRENT}},
        "prices": [{"unit": "pixels", "amount": 10**17 + 1}, {"unit": "output_tokens", "amount": 10**18 + 3}],
    },
    "prepaid": {
        "billing": "credits",
        "on_orphan": "attention",
        "prices": [{"unit": "pixels", "amount": 3, "per": 7}, {"unit": "requests", "amount": 10**20}],
    },
}
"""Amounts are past what integers of Redis and numbers of Lua hold exactly."""
CONFIG = {"workers": 2, "hold_ttl": TTL, "plans": PLANS, "log": {"requests": False}}


async def customers_of(gate: Deployment) -> list[Customer]:
    """One on each plan, the prepaid one with credit."""
    customers = [await gate.customer(plan) for plan in PLANS]
    async with gate.store() as store:
        await grant(store, redis_keys(gate.settings), customers[1].app, None, 10**26, reference="test")
    return customers


async def start_and_slay(gate: Deployment, after: float) -> None:
    """Kill everything that many seconds into a start."""
    before, starting = gate.process, asyncio.create_task(gate.start())
    await eventually(lambda: gate.process is not before)
    await asyncio.sleep(after)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await slay(gate)


async def check_full_concurrency(gate: Deployment, customer: Customer) -> None:
    """As many requests as the plan allows can run at once, not one less and not one more."""
    seen = gate.gateway.counters["seen"]
    async with aiohttp.ClientSession(headers=customer.headers) as session:
        held = [asyncio.create_task(post(session, gate, HELD)) for _ in range(CONCURRENT)]
        await gate.gateway.wait_for(seen=seen + CONCURRENT)
        assert await post(session, gate, HELD) == 429
        gate.gateway.release("for-ever")
        assert await asyncio.gather(*held) == [200] * CONCURRENT


async def campaign(folder: Path, rounds: int) -> None:
    """Kill everything `rounds` times at random moments, some of them before the gate was up; then look at the books."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    statuses: Counter[int] = Counter()
    async with deployed(folder, CONFIG) as gate:
        customers = await customers_of(gate)
        for _ in range(rounds):
            load = Load(gate, customers, rng)
            async with load.running():
                await asyncio.sleep(rng.uniform(0, 1))
                await slay(gate)
            statuses += load.statuses
            if rng.random() < 0.2:
                await start_and_slay(gate, rng.uniform(0, 1.5))
            await gate.start()
        late = await quiet(gate)
        books = await audit(gate)
        await check_full_concurrency(gate, customers[0])
    print(f"kill -9 of everything: seed {seed}, {rounds} rounds, answers {dict(statuses)}; {books}; {late} ms late")
    assert late <= 1000


async def test_everything_is_killed_under_load(tmp_path: Path) -> None:
    await campaign(tmp_path, 8)


@pytest.mark.soak
async def test_everything_is_killed_under_load_two_hundred_times(tmp_path: Path) -> None:
    await campaign(tmp_path, 200)


def parts(gate: Deployment) -> dict[str, list[psutil.Process]]:
    """The living processes of a gate by what they do, its supervisor excepted."""
    found: dict[str, list[psutil.Process]] = {"worker": [], "guardian": [], "redis": []}
    for process in gate.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            for part, sign in (("worker", "proxy.server.worker"), ("guardian", "guardian.py"), ("redis", "redis-ser")):
                if sign in command:
                    found[part].append(process)
                    break
    return found


async def single_parts(folder: Path, rounds: int) -> None:
    """Kill some of workers, Redis and its guardian, again and again, while load and supervisor go on."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    async with deployed(folder, CONFIG) as gate:
        customers = await customers_of(gate)
        load = Load(gate, customers, rng)
        async with load.running():
            for _ in range(rounds):
                await load.served(5)
                await asyncio.sleep(rng.uniform(0, 0.2))
                living = [process for some in parts(gate).values() for process in some]
                for victim in rng.sample(living, rng.randint(0, len(living))):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        victim.kill()
            await load.served(5)
        late = await quiet(gate)
        books = await audit(gate)
        await check_full_concurrency(gate, customers[0])
    print(
        f"kill -9 of single parts: seed {seed}, {rounds} rounds, answers {dict(load.statuses)}; {books}; {late} ms late"
    )
    assert late <= 1000


async def test_workers_redis_and_its_guardian_are_killed_under_load(tmp_path: Path) -> None:
    await single_parts(tmp_path, 12)


@pytest.mark.soak
async def test_workers_redis_and_its_guardian_are_killed_under_load_for_long(tmp_path: Path) -> None:
    await single_parts(tmp_path, 300)


async def test_without_a_supervisor_requests_finish_and_everything_ends(tmp_path: Path) -> None:
    async with deployed(tmp_path, CONFIG) as gate:
        customers = await customers_of(gate)
        async with aiohttp.ClientSession(headers=customers[0].headers) as session:
            held = [asyncio.create_task(post(session, gate, HELD)) for _ in range(5)]
            await gate.gateway.wait_for(held=5)
            assert gate.process is not None
            gate.process.kill()
            await gate.ended()
            gate.gateway.release("for-ever")
            assert await asyncio.gather(*held) == [200] * 5
        await gone(gate.processes)
        await gate.start()
        books = await audit(gate)
    print(f"kill -9 of the supervisor: {books}")
    assert books.outcomes == {"complete": 5}
