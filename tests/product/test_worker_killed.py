"""`kill -9` of a worker: its clients lose their answers, the others none, and nothing stays reserved or uncounted."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import psutil

from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Answer, Wire, request

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
    """A request that the gateway keeps waiting."""

    def __init__(self, wire: Wire, customer: Customer) -> None:
        self.wire = wire
        self.customer = customer
        self.answer = asyncio.create_task(wire.ask(request("POST", "/text-to-image", customer.headers.items(), IMAGE)))

    async def outcome(self) -> int:
        """The status it got; 0 where its connection ended without an answer."""
        try:
            return (await self.answer).status
        except (EOFError, OSError):
            return 0
        finally:
            await self.wire.close()


async def spread(gate: Deployment, customers: list[Customer]) -> tuple[list[Held], psutil.Process, set[int]]:
    """Requests of each customer on both workers; the worker that is to die, and the ports of its clients."""
    victim, other = gate.workers()
    held: list[Held] = []
    while True:
        for _ in range(4):
            held += [Held(await Wire.open(gate.address), customer) for customer in customers]
        await gate.gateway.wait_for(held=len(held))
        doomed, safe = clients(victim), clients(other)
        if all(
            {each.wire.port for each in held if each.customer == one} & ports
            for one in customers
            for ports in (doomed, safe)
        ):
            return held, victim, doomed
        assert len(held) < AT_ONCE, "the kernel gives one worker everything"


def clients(worker: psutil.Process) -> set[int]:
    """The ports of a worker's peers."""
    return {each.raddr[1] for each in worker.net_connections("tcp") if each.raddr}


async def in_flight(gate: Deployment) -> tuple[int, int]:
    """Requests in flight, and orphans so far, as Prometheus sees them."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        lines = (await http.get(f"{gate.private}/metrics")).text.splitlines()
    return (
        sum(int(float(line.split()[-1])) for line in lines if line.startswith("tollgate_requests_in_flight ")),
        sum(int(float(line.split()[-1])) for line in lines if line.startswith("tollgate_holds_orphaned_total{")),
    )


async def one(gate: Deployment, customer: Customer) -> Answer:
    async with await Wire.open(gate.address) as wire:
        fields = [*customer.headers.items(), ("X-Mock-Gateway", "bytes=1")]
        return await wire.ask(request("GET", "/stream/a.ts", fields))


async def test_a_killed_worker_is_replaced_and_its_requests_become_orphans(tmp_path: Path) -> None:
    async with deployed(tmp_path, CONFIG) as gate:
        refund, estimate = await gate.customer("refund"), await gate.customer("estimate")
        held, victim, doomed = await spread(gate, [refund, estimate])
        lost = Counter(each.customer.app for each in held if each.wire.port in doomed)
        victim.kill()

        answers = await asyncio.gather(*(one(gate, refund) for _ in range(10)))
        assert {answer.status for answer in answers} == {200}, "the others serve"
        await eventually(lambda: len(gate.workers()) == 2)
        assert victim not in gate.workers()

        gate.gateway.release(HOLD)
        outcomes = Counter([await each.outcome() for each in held])
        assert outcomes == {0: lost.total(), 200: len(held) - lost.total()}

        each_held = len(held) // 2
        events = await gate.settled(each_held + 10, refund.app)
        assert Counter(event["outcome"] for event in events) == {
            "orphaned": lost[refund.app],
            "complete": each_held - lost[refund.app] + 10,
        }
        assert {event["amount"] for event in events} == {"0"}
        events = await gate.settled(each_held, estimate.app)
        assert {(event["amount"], event["units"]["pixels"]) for event in events} == {("300", 100)}
        assert Counter(event["outcome"] for event in events)["orphaned"] == lost[estimate.app]

        async def is_told() -> bool:
            return await in_flight(gate) == (0, lost.total())

        await eventually(is_told)
        await check_leases(gate, refund)


async def check_leases(gate: Deployment, customer: Customer) -> None:
    """Everything that ran at once before may run at once again, and not one more."""
    wires = [await Wire.open(gate.address) for _ in range(AT_ONCE)]
    fields = [*customer.headers.items(), ("X-Mock-Gateway", "hold=again,bytes=1")]
    asked = [asyncio.create_task(wire.ask(request("GET", "/stream/a.ts", fields))) for wire in wires]
    await gate.gateway.wait_for(held=AT_ONCE)
    assert (await one(gate, customer)).code == "concurrency_limited"
    gate.gateway.release("again")
    assert {(await each).status for each in asked} == {200}
    for wire in wires:
        await wire.close()
