"""Hazard: `kill -9`. Usage that is not recorded, limits that are not given back, money that is held for ever."""

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
from proxy.store.embedded import supervisor
from tests.chaos.assertions import audit, kill_everything, wait_until_settled
from tests.chaos.load import HELD, MixedLoad, post
from tests.support.deployment import WORKER, Customer, Deployment, deployed, eventually, wait_until_gone

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
"""Plans with amounts past what integers of Redis and numbers of Lua hold exactly."""
COMMANDS = {
    "worker": (WORKER,),
    "template": ("tollgate: template",),
    "supervisor of Redis": (supervisor.__file__,),
    "Redis": ("redis-server", "valkey-server"),
}
"""Words in the command line of each part, the first that fits; a supervisor's names the server's program, too."""
CONFIG = {"workers": 2, "hold_ttl": TTL, "plans": PLANS, "log": {"requests": False}}


async def customers_of(deployment: Deployment) -> list[Customer]:
    """Create a customer on each plan, the prepaid one with credit."""
    customers = [await deployment.customer(plan) for plan in PLANS]
    async with deployment.store() as store:
        await grant(store, redis_keys(deployment.settings), customers[1].app, None, 10**26, reference="test")
    return customers


async def kill_during_start(deployment: Deployment, after: float) -> None:
    """Kill every process that many seconds into a start."""
    before, starting = deployment.process, asyncio.create_task(deployment.start())
    await eventually(lambda: deployment.process is not before)
    await asyncio.sleep(after)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await kill_everything(deployment)


async def check_full_concurrency(deployment: Deployment, customer: Customer) -> None:
    """Check that as many requests as the plan allows can run at once, not one less and not one more."""
    seen = deployment.gateway.counters["seen"]
    async with aiohttp.ClientSession(headers=customer.headers) as session:
        held = [asyncio.create_task(post(session, deployment, HELD)) for _ in range(CONCURRENT)]
        await deployment.gateway.wait_for(seen=seen + CONCURRENT)
        assert await post(session, deployment, HELD) == 429
        deployment.gateway.release("for-ever")
        assert await asyncio.gather(*held) == [200] * CONCURRENT


async def campaign(folder: Path, rounds: int) -> None:
    """Kill every process `rounds` times at random moments, some of them before Tollgate was up; then audit."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    statuses: Counter[int] = Counter()
    async with deployed(folder, CONFIG) as deployment:
        customers = await customers_of(deployment)
        for _ in range(rounds):
            load = MixedLoad(deployment, customers, rng)
            async with load.running():
                await asyncio.sleep(rng.uniform(0, 1))
                await kill_everything(deployment)
            statuses += load.statuses
            if rng.random() < 0.2:
                await kill_during_start(deployment, rng.uniform(0, 1.5))
            await deployment.start()
        late = await wait_until_settled(deployment)
        result = await audit(deployment)
        await check_full_concurrency(deployment, customers[0])
    print(f"kill -9 of everything: seed {seed}, {rounds} rounds, responses {dict(statuses)}; {result}; {late} ms late")
    assert late <= 1000


async def test_everything_is_killed_under_load(tmp_path: Path) -> None:
    await campaign(tmp_path, 5)


@pytest.mark.soak
async def test_everything_is_killed_under_load_two_hundred_times(tmp_path: Path) -> None:
    await campaign(tmp_path, 200)


def parts(deployment: Deployment) -> dict[str, list[psutil.Process]]:
    """Return the living processes of a deployment by role, its supervisor excepted."""
    found: dict[str, list[psutil.Process]] = {role: [] for role in COMMANDS}
    for process in deployment.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            for role in [role for role, words in COMMANDS.items() if any(word in command for word in words)][:1]:
                found[role].append(process)
    return found


async def kill_single_parts(folder: Path, rounds: int) -> None:
    """Kill workers, template, Redis and its supervisor, again and again, while load and main supervisor go on."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    async with deployed(folder, CONFIG) as deployment:
        customers = await customers_of(deployment)
        load = MixedLoad(deployment, customers, rng)
        assert all(parts(deployment).values()), "a part was not found by its command"
        async with load.running():
            for _ in range(rounds):
                await load.served(5)
                await asyncio.sleep(rng.uniform(0, 0.2))
                living = [process for some in parts(deployment).values() for process in some]
                for victim in rng.sample(living, rng.randint(0, len(living))):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        victim.kill()
            await load.served(5)
        late = await wait_until_settled(deployment)
        result = await audit(deployment)
        await check_full_concurrency(deployment, customers[0])
    statuses = dict(load.statuses)
    print(f"kill -9 of single parts: seed {seed}, {rounds} rounds, responses {statuses}; {result}; {late} ms late")
    assert late <= 1000


async def test_workers_redis_and_its_supervisor_are_killed_under_load(tmp_path: Path) -> None:
    await kill_single_parts(tmp_path, 8)


@pytest.mark.soak
async def test_workers_redis_and_its_supervisor_are_killed_under_load_for_long(tmp_path: Path) -> None:
    await kill_single_parts(tmp_path, 300)


async def test_without_a_supervisor_requests_finish_and_everything_ends(tmp_path: Path) -> None:
    async with deployed(tmp_path, CONFIG) as deployment:
        customers = await customers_of(deployment)
        async with aiohttp.ClientSession(headers=customers[0].headers) as session:
            held = [asyncio.create_task(post(session, deployment, HELD)) for _ in range(5)]
            await deployment.gateway.wait_for(held=5)
            assert deployment.process is not None
            deployment.process.kill()
            await deployment.wait_for_exit()
            deployment.gateway.release("for-ever")
            assert await asyncio.gather(*held) == [200] * 5
        await wait_until_gone(deployment.processes)
        await deployment.start()
        result = await audit(deployment)
    print(f"kill -9 of the supervisor: {result}")
    assert result.outcomes == {"complete": 5}
