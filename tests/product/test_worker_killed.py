"""`kill -9` of a worker costs only its own clients a response, and nothing stays reserved or uncounted."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, Response, request

pytestmark = pytest.mark.ci


HOLD = "kill"
AT_ONCE = 40
CONFIG = {
    "workers": 2,
    "hold_ttl": 2,
    "plans": {
        "refund": {"tier": "a", "limits": {"app": {"concurrent": AT_ONCE}}},
        "estimate": {
            "tier": "a",
            "on_orphan": "estimate",
            "prices": [{"unit": "pixels", "amount": 3}],
            "billing": "usage",
        },
    },
}
IMAGE = f'{{"model_id":"mock/hold={HOLD}","prompt":"p","width":10,"height":10}}'.encode()


class Held:
    """Request that the gateway keeps waiting."""

    def __init__(self, connection: RawConnection, customer: Customer) -> None:
        self.connection = connection
        self.customer = customer
        self.response = asyncio.create_task(
            connection.exchange(request("POST", "/text-to-image", customer.headers.items(), IMAGE))
        )

    async def outcome(self) -> int:
        """Return the status of its response; 0 if its connection ended without one."""
        try:
            return (await self.response).status
        except (EOFError, OSError):
            return 0
        finally:
            await self.connection.close()


async def spread(deployment: Deployment, customers: list[Customer]) -> tuple[list[Held], psutil.Process, set[int]]:
    """Hold requests of each customer on both workers; return them, the worker to kill, and the ports of its clients."""
    victim, other = deployment.workers()
    held: list[Held] = []
    while True:
        for _ in range(4):
            held += [Held(await RawConnection.open(deployment.address), customer) for customer in customers]
        await deployment.gateway.wait_for(held=len(held))
        doomed, safe = clients(victim), clients(other)
        if all(
            {each.connection.port for each in held if each.customer == send_one} & ports
            for send_one in customers
            for ports in (doomed, safe)
        ):
            return held, victim, doomed
        assert len(held) < AT_ONCE, "the kernel gives one worker everything"


def clients(worker: psutil.Process) -> set[int]:
    """Return the ports of a worker's peers."""
    return {each.raddr[1] for each in worker.net_connections("tcp") if each.raddr}


async def in_flight(deployment: Deployment) -> tuple[int, int]:
    """Return the requests in flight, and the orphans so far, from the metrics."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        lines = (await http.get(f"{deployment.private}/metrics")).text.splitlines()
    return (
        sum(int(float(line.split()[-1])) for line in lines if line.startswith("tollgate_requests_in_flight ")),
        sum(int(float(line.split()[-1])) for line in lines if line.startswith("tollgate_holds_orphaned_total{")),
    )


async def send_one(deployment: Deployment, customer: Customer) -> Response:
    async with await RawConnection.open(deployment.address) as connection:
        headers = [*customer.headers.items(), ("X-Mock-Gateway", "bytes=1")]
        return await connection.exchange(request("GET", "/stream/a.ts", headers))


async def test_a_killed_worker_is_replaced_and_its_requests_become_orphans(tmp_path: Path) -> None:
    async with deployed(tmp_path, CONFIG) as deployment:
        refund, estimate = await deployment.customer("refund"), await deployment.customer("estimate")
        held, victim, doomed = await spread(deployment, [refund, estimate])
        lost = Counter(each.customer.app for each in held if each.connection.port in doomed)
        victim.kill()

        responses = await asyncio.gather(*(send_one(deployment, refund) for _ in range(10)))
        assert {response.status for response in responses} == {200}, "the others serve"
        await eventually(lambda: len(deployment.workers()) == 2)
        assert victim not in deployment.workers()

        deployment.gateway.release(HOLD)
        outcomes = Counter([await each.outcome() for each in held])
        assert outcomes == {0: lost.total(), 200: len(held) - lost.total()}

        each_held = len(held) // 2
        events = await deployment.settled(each_held + 10, refund.app)
        assert Counter(event["outcome"] for event in events) == {
            "orphaned": lost[refund.app],
            "complete": each_held - lost[refund.app] + 10,
        }
        assert {event["amount"] for event in events} == {"0"}
        events = await deployment.settled(each_held, estimate.app)
        assert {(event["amount"], event["units"]["pixels"]) for event in events} == {("300", 100)}
        assert Counter(event["outcome"] for event in events)["orphaned"] == lost[estimate.app]

        async def is_told() -> bool:
            return await in_flight(deployment) == (0, lost.total())

        await eventually(is_told)
        await check_leases(deployment, refund)


async def check_leases(deployment: Deployment, customer: Customer) -> None:
    """Check that as many requests as before may run at once again, and not one more."""
    connections = [await RawConnection.open(deployment.address) for _ in range(AT_ONCE)]
    headers = [*customer.headers.items(), ("X-Mock-Gateway", "hold=again,bytes=1")]
    exchanges = [
        asyncio.create_task(connection.exchange(request("GET", "/stream/a.ts", headers))) for connection in connections
    ]
    await deployment.gateway.wait_for(held=AT_ONCE)
    assert (await send_one(deployment, customer)).code == "concurrency_limited"
    deployment.gateway.release("again")
    assert {(await each).status for each in exchanges} == {200}
    for connection in connections:
        await connection.close()
