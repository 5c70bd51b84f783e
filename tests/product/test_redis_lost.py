"""Redis goes away under a running gate, dead or merely frozen: each plan does as declared, and no usage is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from tests.store.servers import DURABLE, RedisServer, binaries
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.wire import Answer, Wire, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

PLANS = {
    "guessed": {"tier": "a", "limits": {"app": {"requests_per_minute": 1_000}}},
    "capped": {"tier": "a", "limits": {"app": {"caps": [{"unit": "requests", "per": "day", "max": 1_000}]}}},
}


@dataclass
class Place:
    """A gate on a Redis of its own."""

    redis: RedisServer
    gate: Deployment


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("lost")
    redis = RedisServer(binaries(folder)[0], folder / "redis", *DURABLE, tcp=True)
    redis.start()
    try:
        async with deployed(folder, {"redis_url": redis.url, "plans": PLANS, "store": {}}) as gate:
            yield Place(redis, gate)
    finally:
        redis.kill()


class Loss:
    """Redis going away: frozen, so that its sockets stay open and say nothing, or killed."""

    def __init__(self, redis: RedisServer, kind: str) -> None:
        self._redis = redis
        self._kind = kind
        self.begun = False

    def begin(self) -> None:
        self.begun = True
        if self._kind == "frozen":
            self._redis.freeze()
        else:
            self._redis.kill()

    def end(self) -> None:
        if self.begun and self._kind == "frozen":
            self._redis.thaw()
        elif self.begun:
            self._redis.start()
        self.begun = False


@pytest_asyncio.fixture(loop_scope="package", params=["frozen", "killed"])
async def loss(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Loss]:
    """Not begun yet; ended after the test at the latest."""
    probe = await place.gate.customer("capped")
    loss = Loss(place.redis, request.param)
    yield loss
    loss.end()
    await served_again(place.gate, probe)


async def readiness(gate: Deployment, status: int) -> str:
    """Wait until /readyz answers so; its reason."""
    reason = ""

    async def so() -> bool:
        nonlocal reason
        answer = await http.get("/readyz")
        reason = answer.json().get("reason", "")
        return answer.status_code == status

    async with httpx.AsyncClient(base_url=gate.private, trust_env=False, verify=False, timeout=30) as http:
        await eventually(so)
    return reason


async def ask(gate: Deployment, customer: Customer, told: str = "bytes=1") -> Answer:
    async with await Wire.open(gate.address) as wire:
        return await wire.ask(request("GET", "/stream/a.ts", [("X-Api-Key", customer.key), ("X-Mock-Gateway", told)]))


async def served_again(gate: Deployment, customer: Customer) -> None:
    """Redis is back: ready at once, and each worker finds out when it tries the next time."""
    await readiness(gate, 200)

    async def is_served() -> bool:
        return (await ask(gate, customer)).status == 200

    await eventually(is_served)


async def known(gate: Deployment, plan: str) -> Customer:
    """A customer whom the gate has served before."""
    customer = await gate.customer(plan)
    assert (await ask(gate, customer)).status == 200
    await gate.settled(1, customer.app)
    return customer


async def check_events(gate: Deployment, customer: Customer, count: int) -> None:
    """One event for each, now and after the journal is empty, so that nothing more can come."""
    await gate.settled(count, customer.app)
    folder = gate.folder / "data" / "journal"
    await eventually(lambda: all(path.stat().st_size == 0 for path in folder.glob("*.journal")))
    events = await gate.events(customer.app)
    assert len({event["id"] for event in events}) == len(events) == count
    assert {(event["outcome"], event["status"]) for event in events} == {("complete", 200)}


async def test_a_plan_with_caps_is_refused_until_redis_is_back(place: Place, loss: Loss) -> None:
    gate = place.gate
    customer = await known(gate, "capped")
    loss.begin()
    for _ in range(10):
        answer = await ask(gate, customer)
        assert (answer.status, answer.code) == (503, "store_unavailable")
        assert answer.get("content-type") == "application/problem+json"
        assert int(answer.get("retry-after") or 0) > 0
    assert len(gate.heard(customer.app)) == 1
    assert "Redis" in await readiness(gate, 503)
    loss.end()
    await served_again(gate, customer)
    await check_events(gate, customer, 2)


async def test_a_plan_that_may_guess_is_served_on_and_every_request_is_counted_once(place: Place, loss: Loss) -> None:
    gate = place.gate
    customer = await known(gate, "guessed")
    loss.begin()
    answers = await asyncio.gather(*(ask(gate, customer) for _ in range(50)))
    answers += [await ask(gate, customer) for _ in range(10)]
    assert {answer.status for answer in answers} == {200}
    loss.end()
    await check_events(gate, customer, 61)
    assert (await ask(gate, customer)).status == 200
    await check_events(gate, customer, 62)


async def test_a_request_that_redis_did_not_outlive_is_counted_once(place: Place, loss: Loss) -> None:
    gate = place.gate
    customers = [await known(gate, "guessed"), await known(gate, "capped")]
    held = [asyncio.create_task(ask(gate, each, f"hold={each.app},bytes=1")) for each in customers]
    await gate.gateway.wait_for(held=2)
    loss.begin()
    await readiness(gate, 503)
    for each in customers:
        gate.gateway.release(each.app)
    assert [answer.status for answer in await asyncio.gather(*held)] == [200, 200]
    loss.end()
    for each in customers:
        await check_events(gate, each, 2)


async def test_a_key_never_seen_is_told_to_come_back(place: Place, loss: Loss) -> None:
    """Neither 401, for the key may be good, nor let in."""
    gate = place.gate
    customer = await gate.customer("guessed")
    loss.begin()
    answer = await ask(gate, customer)
    assert (answer.status, answer.code) == (503, "store_unavailable")
    loss.end()
    await served_again(gate, customer)
    await check_events(gate, customer, 1)
    assert len(gate.heard(customer.app)) == 1
