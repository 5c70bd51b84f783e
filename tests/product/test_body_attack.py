"""Hazard: a key that may send ten requests a minute, and whose bodies take the worker from everybody else."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.chaos.load import IMAGE
from tests.support.deployment import Customer, Deployment, deployed
from tests.support.raw_http import RawConnection, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

CLIENTS = 8
PERIOD = 0.1
"""Seconds between two requests of one healthy client."""
MIB = 1 << 20
WORKER_ROOM, REDIS_ROOM = 64 * MIB, 16 * MIB
FREE_PER_MINUTE = 10
"""Requests per minute of the built-in plan `free`."""


@dataclass
class Measured:
    """What healthy clients saw, and what it took."""

    p50: float
    p99: float
    served: int
    failed: int


async def healthy(deployment: Deployment, customer: Customer, seconds: float) -> Measured:
    """Send small requests at a steady pace, each of which the gateway serves at once."""
    data = request("POST", "/text-to-image", customer.headers.items(), json.dumps(IMAGE).encode())
    took: list[float] = []
    failed = 0
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        nonlocal failed
        async with await RawConnection.open(deployment.address) as connection:
            due = time.monotonic() + PERIOD * number / CLIENTS
            while due < end:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                began = time.monotonic()
                response = await connection.exchange(data)
                took.append(time.monotonic() - began)
                failed += response.status != 200
                due = max(due + PERIOD, time.monotonic())

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    took.sort()
    return Measured(took[len(took) // 2], took[-1 - len(took) // 100], len(took), failed)


async def memory(deployment: Deployment) -> int:
    async with deployment.store() as store:
        return int((await store.redis.info("memory"))["used_memory"])


async def watch(workers: list[psutil.Process], most: list[int]) -> None:
    """Keep in `most` the largest resident size of the workers together."""
    while True:
        most[0] = max(most[0], sum(worker.memory_info().rss for worker in workers))
        await asyncio.sleep(0.05)


async def under_attack(
    deployment: Deployment, seconds: float
) -> tuple[Measured, Measured, int, int, dict[str, int], Customer]:
    """Return healthy traffic before and during an attack, growth of workers and Redis, and what the attacker heard."""
    customer, attacker = await deployment.customer(), await deployment.customer("free")
    workers = deployment.workers()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.product.body_attack", deployment.host, attacker.key, str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    await healthy(deployment, customer, 1)
    before = await healthy(deployment, customer, seconds)
    redis, size = await memory(deployment), sum(worker.memory_info().rss for worker in workers)
    most = [size]
    watching = asyncio.create_task(watch(workers, most))
    attacking = asyncio.create_task(process.communicate(b"\n"))
    during = await healthy(deployment, customer, seconds)
    out, _ = await attacking
    watching.cancel()
    assert deployment.workers() == workers
    return before, during, most[0] - size, await memory(deployment) - redis, json.loads(out), attacker


async def attacked(folder: Path, seconds: float, ratio: float, slack: float) -> None:
    """Fail where healthy traffic suffers by more than `ratio` and `slack` (seconds), or memory grows past its room."""
    async with deployed(folder, {"workers": 1}) as deployment:
        before, during, grown, redis, said, attacker = await under_attack(deployment, seconds)
        print(
            f"\n{seconds:g} s: healthy p99 {before.p99 * 1000:.1f} -> {during.p99 * 1000:.1f} ms "
            f"({during.p99 / before.p99:.2f} times), p50 {before.p50 * 1000:.1f} -> {during.p50 * 1000:.1f} ms, "
            f"{before.served} -> {during.served} served; worker grew by {grown / MIB:.1f} MiB, "
            f"Redis by {redis / MIB:.1f} MiB; the attacker heard {said}"
        )
        assert during.failed == 0
        assert during.served >= before.served * 0.9
        assert during.p99 <= before.p99 * ratio + slack
        assert grown < WORKER_ROOM
        assert redis < REDIS_ROOM
        refused = said.get("429 rate_limited", 0) + said.get("429 concurrency_limited", 0)
        assert refused >= seconds  # it was at work all the time
        assert sum(said.values()) - refused <= FREE_PER_MINUTE * (seconds // 60 + 1)
        assert not [each for each in said if each.startswith("500")]
        assert len(deployment.forwarded(attacker.app)) <= FREE_PER_MINUTE * (seconds // 60 + 1)


async def test_a_short_attack_by_bodies_leaves_the_others_alone(tmp_path: Path) -> None:
    await attacked(tmp_path, 8, ratio=4, slack=0.05)


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_minute_of_attack_by_bodies_leaves_the_others_alone(tmp_path: Path) -> None:
    await attacked(tmp_path, 60, ratio=2, slack=0)
