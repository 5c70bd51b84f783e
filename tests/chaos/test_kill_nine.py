"""Hazard: `kill -9`. Usage that is not recorded, limits that are not given back, money that is held for ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import psutil
import pytest

from middlewares.ledger.credit.prepaid import grant
from middlewares.ledger.shares.rule_share import SMALLEST
from middlewares.store import StoreError
from proxy.store.configured import redis_keys
from proxy.store.embedded import supervisor
from tests.chaos.assertions import audit, kill_everything, wait_until_settled
from tests.chaos.load import HELD, MixedLoad, post
from tests.support.deployment import WORKER, Customer, Deployment, deployed, eventually, wait_until_gone

TTL = 3.0
CONCURRENT = 10
PLANS: dict[str, dict[str, Any]] = {
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
CONFIG: dict[str, Any] = {"workers": 2, "hold_ttl": TTL, "plans": PLANS, "log": {"requests": False}}


@dataclass(frozen=True, slots=True)
class Way:
    """One of the two ways in which requests are admitted and settled, and a load that takes it."""

    commit: str
    concurrent: int
    clients: int

    @property
    def config(self) -> dict[str, Any]:
        """Return the settings. The limit is large enough for shares where there are any."""
        postpaid = PLANS["postpaid"] | {"limits": {"app": {"concurrent": self.concurrent}}}
        return CONFIG | {"plans": PLANS | {"postpaid": postpaid}, "ledger": {"commit": self.commit}}


WAYS = {"each": Way("each", CONCURRENT, 12), "group": Way("group", SMALLEST, 24)}


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


async def check_full_concurrency(deployment: Deployment, customer: Customer, concurrent: int) -> None:
    """Check that as many requests as the plan allows can run at once, not one less and not one more."""
    seen = deployment.gateway.counters["seen"]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=customer.headers, connector=connector) as session:
        held = [asyncio.create_task(post(session, deployment, HELD)) for _ in range(concurrent)]
        arrived = asyncio.create_task(deployment.gateway.wait_for(seen=seen + concurrent))
        ended, _ = await asyncio.wait((arrived, *held), return_when=asyncio.FIRST_COMPLETED)
        assert ended == {arrived}, [each.result() for each in ended - {arrived}]
        assert await post(session, deployment, HELD) == 429
        deployment.gateway.release("for-ever")
        assert await asyncio.gather(*held) == [200] * concurrent


async def campaign(folder: Path, rounds: int, way: Way) -> None:
    """Kill every process `rounds` times at random moments, some of them before Tollgate was up; then audit."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    statuses: Counter[int] = Counter()
    async with deployed(folder, way.config) as deployment:
        customers = await customers_of(deployment)
        for _ in range(rounds):
            load = MixedLoad(deployment, customers, rng, way.clients)
            async with load.running():
                await asyncio.sleep(rng.uniform(0, 1))
                await kill_everything(deployment)
            statuses += load.statuses
            if rng.random() < 0.2:
                await kill_during_start(deployment, rng.uniform(0, 1.5))
            await deployment.start()
        late = await wait_until_settled(deployment)
        result = await audit(deployment)
        assert bool(await groups_committed(deployment)) == (way.commit == "group")
        await check_full_concurrency(deployment, customers[0], way.concurrent)
    print(
        f"kill -9 of everything, {way.commit}: seed {seed}, {rounds} rounds, {dict(statuses)}; {result}; {late} ms late"
    )
    assert late <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_everything_is_killed_under_load(tmp_path: Path, way: str) -> None:
    await campaign(tmp_path, 5, WAYS[way])


@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
async def test_everything_is_killed_under_load_two_hundred_times(tmp_path: Path, way: str) -> None:
    await campaign(tmp_path, 200, WAYS[way])


def parts(deployment: Deployment) -> dict[str, list[psutil.Process]]:
    """Return the living processes of a deployment by role, its supervisor excepted."""
    found: dict[str, list[psutil.Process]] = {role: [] for role in COMMANDS}
    for process in deployment.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            for role in [role for role, words in COMMANDS.items() if any(word in command for word in words)][:1]:
                found[role].append(process)
    return found


async def groups_committed(deployment: Deployment) -> int:
    """Return the number of groups that workers, living and dead, have committed."""
    async with deployment.store() as store:
        redis = cast("Any", store.redis)
        numbers = [await redis.get(name) async for name in redis.scan_iter(match="tollgate:{*}:last-group:*")]
    return sum(int(number.strip(b"!")) for number in numbers)


async def reachable(deployment: Deployment) -> bool:
    """Return True if Redis serves."""
    try:
        async with deployment.store():
            return True
    except StoreError:
        return False


async def kill_single_parts(folder: Path, rounds: int, way: Way) -> None:
    """Kill workers, template, Redis and its supervisor, again and again, while load and main supervisor go on."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    async with deployed(folder, way.config) as deployment:
        customers = await customers_of(deployment)
        load = MixedLoad(deployment, customers, rng, way.clients)
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
            await eventually(lambda: reachable(deployment))  # shares of the limits serve a second without Redis
        late = await wait_until_settled(deployment)
        result = await audit(deployment)
        assert bool(await groups_committed(deployment)) == (way.commit == "group")
        await check_full_concurrency(deployment, customers[0], way.concurrent)
    statuses = dict(load.statuses)
    print(f"kill -9 of single parts, {way.commit}: seed {seed}, {rounds} rounds, {statuses}; {result}; {late} ms late")
    assert late <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_workers_redis_and_its_supervisor_are_killed_under_load(tmp_path: Path, way: str) -> None:
    await kill_single_parts(tmp_path, 8, WAYS[way])


@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
async def test_workers_redis_and_its_supervisor_are_killed_under_load_for_long(tmp_path: Path, way: str) -> None:
    await kill_single_parts(tmp_path, 300, WAYS[way])


@pytest.mark.slow
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
