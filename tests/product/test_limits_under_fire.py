"""Limits hold to the request while hundreds of requests arrive at several workers in the same moment."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import psutil
import pytest
import pytest_asyncio

from tests.product.conftest import SCOPES
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.wire import Answer, Wire, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

PARALLEL = 500
RUNS = 20


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def wires(crowd: Deployment) -> AsyncIterator[list[Wire]]:
    """Connections to every worker: how many each has is the kernel's business, so more are opened until it does."""
    workers = crowd.workers()
    assert len(workers) == 4
    port = crowd.address[1]
    found: list[Wire] = []

    async def all_connected() -> bool:
        found.extend(
            await asyncio.gather(*(Wire.open(crowd.address) for _ in range(PARALLEL - len(found)) or range(50)))
        )
        return all(connections(worker, port) >= 10 for worker in workers)

    await eventually(all_connected)
    yield found
    for wire in found:
        await wire.close()


def connections(worker: psutil.Process, port: int) -> int:
    return sum(each.status == "ESTABLISHED" and each.laddr[1] == port for each in worker.net_connections("tcp"))


def storm(wires: list[Wire], keys: list[str], count: int, told: str = "bytes=2") -> list[asyncio.Task[Answer]]:
    """So many requests at once, the keys in turn, over all connections."""
    step = len(wires) / count
    return [asyncio.create_task(one(wires[int(each * step)], keys[each % len(keys)], told)) for each in range(count)]


async def one(wire: Wire, key: str, told: str) -> Answer:
    await wire.send(request("GET", "/stream/a.ts", [("X-Api-Key", key), ("X-Mock-Gateway", told)]))
    return await wire.answer()


def are_done(tasks: list[asyncio.Task[Answer]], count: int) -> bool:
    return sum(task.done() for task in tasks) == count


async def customers(gate: Deployment, plan: str, scope: str) -> tuple[list[Customer], int]:
    """Two credentials that share what `scope` limits, or share it with nobody; and how many limits there are."""
    first = await gate.customer(plan)
    if scope == "global":
        return [first, await gate.customer(plan)], 1
    if scope == "user":
        user = await gate.user(first.app, "ann")
        return [Customer(first.app, await gate.key(first.app, user)) for _ in range(2)], 1
    second = Customer(first.app, await gate.key(first.app))
    return [first, second], 2 if scope == "key" else 1


def reached(gate: Deployment, callers: list[Customer]) -> int:
    return sum(len(gate.heard(app)) for app in {caller.app for caller in callers})


async def test_ten_of_500_parallel_requests_reach_the_gateway_in_20_runs_of_20(
    crowd: Deployment, wires: list[Wire]
) -> None:
    for _ in range(RUNS):
        customer = await crowd.customer("ten-per-app")
        answers = await asyncio.gather(*storm(wires, [customer.key], PARALLEL))
        assert Counter(each.status for each in answers) == {200: 10, 429: PARALLEL - 10}
        assert len(crowd.heard(customer.app)) == 10
        assert {each.code for each in answers if each.status == 429} == {"rate_limited"}
        await crowd.settled(10, customer.app)


@pytest.mark.parametrize("scope", SCOPES)
async def test_the_rate_is_limited_in_every_scope(crowd: Deployment, wires: list[Wire], scope: str) -> None:
    callers, limits = await customers(crowd, f"ten-per-{scope}", scope)
    answers = await asyncio.gather(*storm(wires, [caller.key for caller in callers], 200))
    assert Counter(each.status for each in answers) == {200: 10 * limits, 429: 200 - 10 * limits}
    assert reached(crowd, callers) == 10 * limits
    refused = next(each for each in answers if each.status == 429)
    assert f'"{scope}-requests-per-minute";r=0' in (refused.get("ratelimit") or "")


@pytest.mark.parametrize("scope", SCOPES)
async def test_concurrency_is_limited_in_every_scope(crowd: Deployment, wires: list[Wire], scope: str) -> None:
    callers, limits = await customers(crowd, f"five-at-once-per-{scope}", scope)
    apps = {caller.app for caller in callers}
    for run in range(1, 4):
        hold = f"{callers[0].app}-{run}"
        storming = storm(wires, [caller.key for caller in callers], 200, f"hold={hold},bytes=2")
        await eventually(partial(are_done, storming, 200 - 5 * limits))
        assert {task.result().code for task in storming if task.done()} == {"concurrency_limited"}
        assert crowd.gateway.counters["held"] == 5 * limits
        crowd.gateway.release(hold)
        answers = await asyncio.gather(*storming)
        assert Counter(each.status for each in answers) == {200: 5 * limits, 429: 200 - 5 * limits}
        assert reached(crowd, callers) == 5 * limits * run
        for app in apps:
            await crowd.settled(len(crowd.heard(app)), app)
