"""Hazard: a Redis that is dead, frozen, slow, read-only, full, forgetful or replaced, while Tollgate serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from middlewares.ledger.credit.prepaid import grant
from middlewares.ledger.shares.shares import LIFE_SECONDS
from proxy.store.configured import redis_keys
from tests.chaos.assertions import audit, wait_until_settled
from tests.chaos.slow_proxy import SlowProxy
from tests.chaos.steady_load import BUSY_PERIOD, PERIOD, Latencies, Sample, SteadyLoad
from tests.store.servers import DURABLE, RedisServer, binaries, eventually
from tests.support.deployment import Customer, Deployment, deployed

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

DEADLINE, MARGIN = 0.25, 0.05
RECOVERY = 5.0
WORKERS = 2
PLANS = {
    "prepaid": {"billing": "credits", "prices": [{"unit": "requests", "amount": 10**18}]},
    "guessed": {"limits": {"app": {"requests_per_minute": 100_000}}},
}
CONFIG = {"workers": WORKERS, "plans": PLANS, "auth": {"cache_seconds": 1}, "store": {"deadline_seconds": DEADLINE}}
"""Credentials are looked up again every second, as those of many customers are under the default of 30."""


@dataclass
class RedisTroubleTestbed:
    """Tollgate, its Redis, the slow proxy between them, and a customer on each plan."""

    deployment: Deployment
    redis: RedisServer
    slow_proxy: SlowProxy
    prepaid: Customer
    guessed: Customer
    period: float


def config_of(commit: str, redis_url: str) -> dict[str, Any]:
    """Return the settings for one of the two ways in which requests are admitted and settled."""
    return {**CONFIG, "redis_url": redis_url, "ledger": {"commit": commit}}


def period_of(commit: str) -> float:
    """Return the seconds between two requests of a client, few enough for shares where there are any."""
    return BUSY_PERIOD if commit == "group" else PERIOD


async def with_customers(
    deployment: Deployment, redis: RedisServer, slow_proxy: SlowProxy, commit: str
) -> RedisTroubleTestbed:
    prepaid, guessed = await deployment.customer("prepaid"), await deployment.customer("guessed")
    async with deployment.store() as store:
        await grant(store, redis_keys(deployment.settings), prepaid.app, None, 10**26, reference="test")
    return RedisTroubleTestbed(deployment, redis, slow_proxy, prepaid, guessed, period_of(commit))


WAYS = ("each", pytest.param("group", marks=pytest.mark.soak))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def testbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RedisTroubleTestbed]:
    folder = tmp_path_factory.mktemp("trouble")
    redis = RedisServer(binaries(folder)[0], folder / "redis", *DURABLE, tcp=True).start()
    slow_proxy = SlowProxy((redis.endpoint.host, redis.endpoint.port))
    try:
        async with (
            slow_proxy.open(),
            deployed(folder, config_of(request.param, f"redis://127.0.0.1:{slow_proxy.port}")) as deployment,
        ):
            yield await with_customers(deployment, redis, slow_proxy, request.param)
    finally:
        redis.kill()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble: how it begins and ends. `fatal` is True if Redis serves nobody meanwhile."""

    begin: Callable[[RedisTroubleTestbed], object]
    end: Callable[[RedisTroubleTestbed], object]
    fatal: bool = True


def slow(to_redis: float, from_redis: float) -> Callable[[RedisTroubleTestbed], object]:
    def set_delays(testbed: RedisTroubleTestbed) -> None:
        testbed.slow_proxy.to_redis, testbed.slow_proxy.from_redis = to_redis, from_redis

    return set_delays


def command(*command: str) -> Callable[[RedisTroubleTestbed], object]:
    def send_command(testbed: RedisTroubleTestbed) -> None:
        assert testbed.redis.ask(*command).startswith("+OK")

    return send_command


def nothing(_: RedisTroubleTestbed) -> None:
    """Do nothing: the trouble ends by itself."""


def restart(testbed: RedisTroubleTestbed) -> None:
    testbed.redis.kill()
    testbed.redis.start()


TROUBLES = {
    "killed": Trouble(lambda testbed: testbed.redis.kill(), lambda testbed: testbed.redis.start()),
    "frozen": Trouble(lambda testbed: testbed.redis.freeze(), lambda testbed: testbed.redis.thaw()),
    "slow to receive": Trouble(slow(0.5, 0), slow(0, 0)),
    "slow to reply": Trouble(slow(0, 0.5), slow(0, 0)),
    "read-only": Trouble(command("REPLICAOF", "127.0.0.1", "1"), command("REPLICAOF", "NO", "ONE")),
    "full": Trouble(command("CONFIG", "SET", "maxmemory", "1"), command("CONFIG", "SET", "maxmemory", "0")),
    "forgetful": Trouble(command("SCRIPT", "FLUSH"), command("SCRIPT", "FLUSH"), fatal=False),
    "restarted": Trouble(restart, nothing, fatal=False),
}


def state_lines(deployment: Deployment, offset: int) -> tuple[int, int]:
    """Return how many log lines say that Redis was lost, and how many that it is back."""
    events = [line["event"] for line in deployment.lines(offset)]
    return events.count("store_unavailable"), events.count("store_recovered")


@pytest.mark.parametrize("name", TROUBLES)
async def test_redis_is(testbed: RedisTroubleTestbed, name: str) -> None:
    """Responses come in time by each plan's policy, each change is one log line, service returns, no usage is lost."""
    trouble, deployment = TROUBLES[name], testbed.deployment
    offset = deployment.log.stat().st_size
    steady_load = SteadyLoad(deployment, [testbed.prepaid, testbed.guessed], period=testbed.period)
    async with steady_load.running():
        began = time.monotonic()
        await asyncio.to_thread(trouble.begin, testbed)
        begun = time.monotonic()
        await asyncio.sleep(3)
        ended = time.monotonic()
        await asyncio.to_thread(trouble.end, testbed)
        recovery = await steady_load.all_served(time.monotonic())
        await eventually(lambda: len(set(state_lines(deployment, offset))) == 1, RECOVERY)  # the other worker, too
    await wait_until_settled(deployment)
    result, changes = await audit(deployment), state_lines(deployment, offset)
    responses = [sample for sample in steady_load.samples if began <= sample.began < ended]
    figures = Latencies(responses, steady_load.syncs)
    print(f"redis {name}: {figures}, served again after {recovery:.1f} s, lines {changes}; {result}")
    settled = [each for each in responses if begun < each.began < ended - each.took]
    shares_end = begun + LIFE_SECONDS if testbed.period == BUSY_PERIOD else begun
    check_policy(testbed, settled, fatal=trouble.fatal, disk_is_slow=figures.disk_is_slow, shares_end=shares_end)
    assert figures.p99 <= DEADLINE + MARGIN + figures.slack
    assert recovery <= RECOVERY
    assert trouble.fatal <= changes[0] == changes[1] <= WORKERS


def check_policy(
    testbed: RedisTroubleTestbed, samples: list[Sample], *, fatal: bool, disk_is_slow: bool, shares_end: float
) -> None:
    """Check that without Redis prepaid requests are refused with Retry-After, and that others are served.

    Until `shares_end` (`time.monotonic`) workers have shares, and so prepaid requests are paid from what is reserved.
    """
    assert samples
    for sample in samples:
        response = sample.response
        if sample.customer is None:
            assert response.status == 404
        elif response.status == 503:
            assert sample.customer is testbed.prepaid or disk_is_slow
            assert response.code == "store_unavailable"
            assert int(response.get("retry-after") or 0) > 0
        else:
            assert response.status == 200
            assert not (fatal and sample.customer is testbed.prepaid and sample.began > shares_end)
