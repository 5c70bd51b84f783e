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
from tests.support.raw_http import RawConnection, Response, request

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

PARALLEL = 500


@pytest_asyncio.fixture(loop_scope="package")
async def connections(opened_connections: list[RawConnection], limited_deployment: Deployment) -> list[RawConnection]:
    """The connections, new ones in place of those that were idle for too long: a busy machine takes its time."""
    for number, connection in enumerate(opened_connections):
        if connection.ended:
            await connection.close()
            opened_connections[number] = await RawConnection.open(limited_deployment.address)
    return opened_connections


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def opened_connections(limited_deployment: Deployment) -> AsyncIterator[list[RawConnection]]:
    """Open connections to every worker. The kernel chooses the worker, so more are opened until each has enough."""
    workers = limited_deployment.workers()
    assert len(workers) == 4
    port = limited_deployment.address[1]
    found: list[RawConnection] = []

    async def all_connected() -> bool:
        found.extend(
            await asyncio.gather(
                *(RawConnection.open(limited_deployment.address) for _ in range(PARALLEL - len(found)) or range(50))
            )
        )
        return all(count_connections(worker, port) >= 10 for worker in workers)

    await eventually(all_connected)
    yield found
    for connection in found:
        await connection.close()


def count_connections(worker: psutil.Process, port: int) -> int:
    return sum(each.status == "ESTABLISHED" and each.laddr[1] == port for each in worker.net_connections("tcp"))


def send_burst(
    connections: list[RawConnection], keys: list[str], count: int, behaviour: str = "bytes=2"
) -> list[asyncio.Task[Response]]:
    """Send `count` requests at once, the keys in turn, spread over all connections."""
    step = len(connections) / count
    return [
        asyncio.create_task(send_one(connections[int(each * step)], keys[each % len(keys)], behaviour))
        for each in range(count)
    ]


async def send_one(connection: RawConnection, key: str, behaviour: str) -> Response:
    await connection.send(request("GET", "/stream/a.ts", [("X-Api-Key", key), ("X-Mock-Gateway", behaviour)]))
    return await connection.response()


def are_done(tasks: list[asyncio.Task[Response]], count: int) -> bool:
    return sum(task.done() for task in tasks) == count


async def customers(deployment: Deployment, plan: str, scope: str) -> tuple[list[Customer], int]:
    """Return two credentials, and how many separate limits of `scope` they have between them: one or two."""
    first = await deployment.customer(plan)
    if scope == "global":
        return [first, await deployment.customer(plan)], 1
    if scope == "user":
        user = await deployment.user(first.app, "ann")
        return [Customer(first.app, await deployment.key(first.app, user)) for _ in range(2)], 1
    second = Customer(first.app, await deployment.key(first.app))
    return [first, second], 2 if scope == "key" else 1


def reached(deployment: Deployment, callers: list[Customer]) -> int:
    return sum(len(deployment.forwarded(app)) for app in {caller.app for caller in callers})


@pytest.mark.slow
@pytest.mark.parametrize("runs", [5, pytest.param(20, marks=pytest.mark.soak)])
async def test_ten_of_500_parallel_requests_reach_the_gateway_in_each_run(
    limited_deployment: Deployment, connections: list[RawConnection], runs: int
) -> None:
    for _ in range(runs):
        customer = await limited_deployment.customer("ten-per-app")
        responses = await asyncio.gather(*send_burst(connections, [customer.key], PARALLEL))
        assert Counter(each.status for each in responses) == {200: 10, 429: PARALLEL - 10}
        assert len(limited_deployment.forwarded(customer.app)) == 10
        assert {each.code for each in responses if each.status == 429} == {"rate_limited"}
        await limited_deployment.settled(10, customer.app)


@pytest.mark.parametrize("scope", SCOPES)
async def test_the_rate_is_limited_in_every_scope(
    limited_deployment: Deployment, connections: list[RawConnection], scope: str
) -> None:
    callers, limits = await customers(limited_deployment, f"ten-per-{scope}", scope)
    responses = await asyncio.gather(*send_burst(connections, [caller.key for caller in callers], 200))
    assert Counter(each.status for each in responses) == {200: 10 * limits, 429: 200 - 10 * limits}
    assert reached(limited_deployment, callers) == 10 * limits
    refused = next(each for each in responses if each.status == 429)
    assert f'"{scope}-requests-per-minute";r=0' in (refused.get("ratelimit") or "")


@pytest.mark.parametrize("scope", SCOPES)
async def test_concurrency_is_limited_in_every_scope(
    limited_deployment: Deployment, connections: list[RawConnection], scope: str
) -> None:
    callers, limits = await customers(limited_deployment, f"five-at-once-per-{scope}", scope)
    apps = {caller.app for caller in callers}
    for run in range(1, 4):
        hold = f"{callers[0].app}-{run}"
        burst = send_burst(connections, [caller.key for caller in callers], 200, f"hold={hold},bytes=2")
        await eventually(partial(are_done, burst, 200 - 5 * limits))
        assert {task.result().code for task in burst if task.done()} == {"concurrency_limited"}
        assert limited_deployment.gateway.counters["held"] == 5 * limits
        limited_deployment.gateway.release(hold)
        responses = await asyncio.gather(*burst)
        assert Counter(each.status for each in responses) == {200: 5 * limits, 429: 200 - 5 * limits}
        assert reached(limited_deployment, callers) == 5 * limits * run
        for app in apps:
            await limited_deployment.settled(len(limited_deployment.forwarded(app)), app)
