"""Hazard: a key that may send ten requests a minute, and whose bodies take the worker from everybody else."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.chaos.load import IMAGE
from tests.support.deployment import Customer, Deployment, deployed
from tests.support.raw_http import RawConnection, request

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]

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


@dataclass
class Attacked:
    """Healthy traffic of one deployment: alone, while another one beside it is attacked, and while it is itself."""

    alone: Measured
    beside: Measured
    during: Measured
    grown: int
    """Bytes by which the worker grew at most."""
    redis: int
    """Bytes by which Redis grew."""
    said: dict[str, int]
    """Responses that the attacker got, by what they said."""

    def __str__(self) -> str:
        p99 = " -> ".join(f"{each.p99 * 1000:.1f}" for each in (self.alone, self.beside, self.during))
        p50 = " -> ".join(f"{each.p50 * 1000:.1f}" for each in (self.alone, self.beside, self.during))
        return (
            f"healthy p99 alone, attack beside, attacked: {p99} ms ({self.during.p99 / self.beside.p99:.2f} times), "
            f"p50 {p50} ms, {self.beside.served} -> {self.during.served} served; "
            f"worker grew by {self.grown / MIB:.1f} MiB, Redis by {self.redis / MIB:.1f} MiB; "
            f"the attacker heard {self.said}"
        )


async def attack(
    deployment: Deployment, attacker: Customer, seconds: float, traffic: Callable[[], Awaitable[Measured]]
) -> tuple[Measured, dict[str, int]]:
    """Return what `traffic` measured during an attack on this deployment, and what the attacker heard."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.product.body_attack", deployment.host, attacker.key, str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    attacking = asyncio.create_task(process.communicate(b"\n"))
    measured = await traffic()
    out, _ = await attacking
    return measured, json.loads(out)


async def attacked(folder: Path, seconds: float, ratio: float, slack: float) -> None:
    """Fail where healthy traffic suffers by more than `ratio` and `slack` (seconds), or memory grows past its room.

    It is compared with the same traffic during the same attack on another deployment of the same machine, whose
    processors attacker and attacked share here, as they do not anywhere else.
    """
    for name in ("attacked", "other"):
        (folder / name).mkdir()
    async with (
        deployed(folder / "attacked", {"workers": 1}) as deployment,
        deployed(folder / "other", {"workers": 1}) as other,
    ):
        customer, attacker = await deployment.customer(), await deployment.customer("free")
        elsewhere = await other.customer("free")
        workers = deployment.workers()

        async def traffic() -> Measured:
            return await healthy(deployment, customer, seconds)

        await healthy(deployment, customer, 1)
        alone = await traffic()
        beside, _ = await attack(other, elsewhere, seconds, traffic)
        redis, size = await memory(deployment), sum(worker.memory_info().rss for worker in workers)
        most = [size]
        watching = asyncio.create_task(watch(workers, most))
        during, said = await attack(deployment, attacker, seconds, traffic)
        watching.cancel()
        result = Attacked(alone, beside, during, most[0] - size, await memory(deployment) - redis, said)
        print(f"\n{seconds:g} s: {result}")
        assert deployment.workers() == workers
        assert during.failed == 0
        assert during.served >= beside.served * 0.9
        assert during.p99 <= beside.p99 * ratio + slack
        assert result.grown < WORKER_ROOM
        assert result.redis < REDIS_ROOM
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
