"""Redis is lost while Tollgate runs, dead or merely frozen: each plan does as declared, and no usage is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from middlewares.auth.keys import pepper_of
from proxy.control.api_keys import ApiKeys
from tests.store.servers import DURABLE, RedisServer, binaries
from tests.support.deployment import Customer, Deployment, deployed, eventually
from tests.support.raw_http import RawConnection, Response, request

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

STORE = {"deadline_seconds": 1.5}
"""A fifth of it is for the disk, which may be busy, too."""
PLANS = {
    "guessed": {"tier": "a", "limits": {"app": {"requests_per_minute": 1_000}}},
    "capped": {"tier": "a", "limits": {"app": {"caps": [{"unit": "requests", "per": "day", "max": 1_000}]}}},
}


@dataclass
class LostRedisTestbed:
    """Tollgate on a Redis of its own."""

    redis: RedisServer
    deployment: Deployment


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def testbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LostRedisTestbed]:
    folder = tmp_path_factory.mktemp("lost")
    redis = RedisServer(binaries(folder)[0], folder / "redis", *DURABLE, tcp=True)
    redis.start()
    try:
        async with deployed(folder, {"redis_url": redis.url, "plans": PLANS, "store": STORE}) as deployment:
            yield LostRedisTestbed(redis, deployment)
    finally:
        redis.kill()


class RedisOutage:
    """Loss of Redis: frozen, so that its sockets stay open and silent, or killed."""

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
async def outage(request: pytest.FixtureRequest, testbed: LostRedisTestbed) -> AsyncIterator[RedisOutage]:
    """Prepare an outage, which the test begins; it ends after the test at the latest."""
    probe = await testbed.deployment.customer("capped")
    outage = RedisOutage(testbed.redis, request.param)
    yield outage
    outage.end()
    await wait_until_served(testbed.deployment, probe)


async def readiness(deployment: Deployment, status: int) -> str:
    """Wait until /readyz has this status; return its reason."""
    reason = ""

    async def has_status() -> bool:
        nonlocal reason
        response = await http.get("/readyz")
        reason = response.json().get("reason", "")
        return response.status_code == status

    async with httpx.AsyncClient(base_url=deployment.private, trust_env=False, verify=False, timeout=30) as http:
        await eventually(has_status)
    return reason


async def send_request(deployment: Deployment, customer: Customer, behaviour: str = "bytes=1") -> Response:
    async with await RawConnection.open(deployment.address) as connection:
        return await connection.exchange(
            request("GET", "/stream/a.ts", [("X-Api-Key", customer.key), ("X-Mock-Gateway", behaviour)])
        )


async def wait_until_served(deployment: Deployment, customer: Customer) -> None:
    """Wait until Redis is back: /readyz says so at once, and each worker notices at its next attempt."""
    await readiness(deployment, 200)

    async def is_served() -> bool:
        return (await send_request(deployment, customer)).status == 200

    await eventually(is_served)


async def wait_for_notices(deployment: Deployment) -> None:
    """Wait until the worker knows of every change up to now: notices come in order, and the last one revokes a key."""
    probe = await deployment.customer()
    assert (await send_request(deployment, probe)).status == 200
    async with deployment.store() as store:
        keys = ApiKeys(store.redis, pepper_of(deployment.settings.auth))
        await keys.revoke(probe.key.split("_")[1])

    async def is_revoked() -> bool:
        return (await send_request(deployment, probe)).status == 401

    await eventually(is_revoked)


async def served_customer(deployment: Deployment, plan: str) -> Customer:
    """Create a customer, and have one request of it served, after which nothing of it is looked up for a while."""
    customer = await deployment.customer(plan)
    await wait_for_notices(deployment)
    assert (await send_request(deployment, customer)).status == 200
    await deployment.settled(1, customer.app)
    return customer


async def check_events(deployment: Deployment, customer: Customer, count: int) -> None:
    """Check that there are `count` events, now and after the journal is empty, so that no more can come."""
    await deployment.settled(count, customer.app)
    await eventually(deployment.journals_are_empty)
    events = await deployment.events(customer.app)
    assert len({event["id"] for event in events}) == len(events) == count
    assert {(event["outcome"], event["status"]) for event in events} == {("complete", 200)}


async def test_a_plan_with_caps_is_refused_until_redis_is_back(testbed: LostRedisTestbed, outage: RedisOutage) -> None:
    deployment = testbed.deployment
    customer = await served_customer(deployment, "capped")
    outage.begin()
    for _ in range(10):
        response = await send_request(deployment, customer)
        assert (response.status, response.code) == (503, "store_unavailable")
        assert response.get("content-type") == "application/problem+json"
        assert int(response.get("retry-after") or 0) > 0
    assert len(deployment.forwarded(customer.app)) == 1
    assert "Redis" in await readiness(deployment, 503)
    outage.end()
    await wait_until_served(deployment, customer)
    await check_events(deployment, customer, 2)


@pytest.mark.sampled(2)
async def test_a_plan_that_may_guess_is_served_on_and_every_request_is_counted_once(
    testbed: LostRedisTestbed, outage: RedisOutage
) -> None:
    deployment = testbed.deployment
    customer = await served_customer(deployment, "guessed")
    outage.begin()
    responses = await asyncio.gather(*(send_request(deployment, customer) for _ in range(50)))
    responses += [await send_request(deployment, customer) for _ in range(10)]
    assert [response.body for response in responses if response.status != 200] == []
    outage.end()
    await check_events(deployment, customer, 61)
    assert (await send_request(deployment, customer)).status == 200
    await check_events(deployment, customer, 62)


@pytest.mark.sampled(2)
async def test_a_request_that_redis_did_not_outlive_is_counted_once(
    testbed: LostRedisTestbed, outage: RedisOutage
) -> None:
    deployment = testbed.deployment
    customers = [await served_customer(deployment, "guessed"), await served_customer(deployment, "capped")]
    held = [asyncio.create_task(send_request(deployment, each, f"hold={each.app},bytes=1")) for each in customers]
    await deployment.gateway.wait_for(held=2)
    outage.begin()
    await readiness(deployment, 503)
    for each in customers:
        deployment.gateway.release(each.app)
    assert [response.status for response in await asyncio.gather(*held)] == [200, 200]
    outage.end()
    for each in customers:
        await check_events(deployment, each, 2)


async def test_an_unknown_key_gets_503_with_retry_after(testbed: LostRedisTestbed, outage: RedisOutage) -> None:
    """The status is not 401, since the key may be valid, and the request is not served."""
    deployment = testbed.deployment
    customer = await deployment.customer("guessed")
    outage.begin()
    response = await send_request(deployment, customer)
    assert (response.status, response.code) == (503, "store_unavailable")
    outage.end()
    await wait_until_served(deployment, customer)
    await check_events(deployment, customer, 1)
    assert len(deployment.forwarded(customer.app)) == 1
