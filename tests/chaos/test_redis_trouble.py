"""Hazard: a Redis that is dead, frozen, slow, read-only, full, forgetful or replaced, under a gate that serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from middlewares.ledger.credit.prepaid import grant
from proxy.store.configured import redis_keys
from tests.chaos.assertions import audit, quiet
from tests.chaos.slow_proxy import SlowProxy
from tests.chaos.steady import Figures, Sample, Steady
from tests.store.servers import DURABLE, RedisServer, binaries, eventually
from tests.support.deployment import Customer, Deployment, deployed

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE, MARGIN = 0.25, 0.05
RECOVERY = 5.0
WORKERS = 2
PLANS = {
    "prepaid": {"billing": "credits", "prices": [{"unit": "requests", "amount": 10**18}]},
    "guessed": {"limits": {"app": {"requests_per_minute": 100_000}}},
}
CONFIG = {"workers": WORKERS, "plans": PLANS, "auth": {"cache_seconds": 1}, "store": {"deadline_seconds": DEADLINE}}
"""Credentials are asked for again every second, as those of many customers are under the default of 30."""


@dataclass
class Place:
    """A gate, its Redis, the road between them, and a customer on each plan."""

    gate: Deployment
    redis: RedisServer
    road: SlowProxy
    prepaid: Customer
    guessed: Customer


async def settle_in(gate: Deployment, redis: RedisServer, road: SlowProxy) -> Place:
    prepaid, guessed = await gate.customer("prepaid"), await gate.customer("guessed")
    async with gate.store() as store:
        await grant(store, redis_keys(gate.settings), prepaid.app, None, 10**26, reference="test")
    return Place(gate, redis, road, prepaid, guessed)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("trouble")
    redis = RedisServer(binaries(folder)[0], folder / "redis", *DURABLE, tcp=True).start()
    road = SlowProxy((redis.endpoint.host, redis.endpoint.port))
    try:
        async with road.open(), deployed(folder, {**CONFIG, "redis_url": f"redis://127.0.0.1:{road.port}"}) as gate:
            yield await settle_in(gate, redis, road)
    finally:
        redis.kill()


@dataclass(frozen=True, slots=True)
class Trouble:
    """How it begins and ends. `fatal`: Redis serves nobody meanwhile."""

    begin: Callable[[Place], object]
    end: Callable[[Place], object]
    fatal: bool = True


def slow(to_redis: float, from_redis: float) -> Callable[[Place], object]:
    def set_delays(place: Place) -> None:
        place.road.to_redis, place.road.from_redis = to_redis, from_redis

    return set_delays


def tell(*command: str) -> Callable[[Place], object]:
    def told(place: Place) -> None:
        assert place.redis.ask(*command).startswith("+OK")

    return told


def nothing(_: Place) -> None:
    """It ends by itself."""


def restart(place: Place) -> None:
    place.redis.kill()
    place.redis.start()


TROUBLES = {
    "killed": Trouble(lambda place: place.redis.kill(), lambda place: place.redis.start()),
    "frozen": Trouble(lambda place: place.redis.freeze(), lambda place: place.redis.thaw()),
    "slow to hear": Trouble(slow(0.5, 0), slow(0, 0)),
    "slow to answer": Trouble(slow(0, 0.5), slow(0, 0)),
    "read-only": Trouble(tell("REPLICAOF", "127.0.0.1", "1"), tell("REPLICAOF", "NO", "ONE")),
    "full": Trouble(tell("CONFIG", "SET", "maxmemory", "1"), tell("CONFIG", "SET", "maxmemory", "0")),
    "forgetful": Trouble(tell("SCRIPT", "FLUSH"), tell("SCRIPT", "FLUSH"), fatal=False),
    "restarted": Trouble(restart, nothing, fatal=False),
}


def state_lines(gate: Deployment, offset: int) -> tuple[int, int]:
    """How many lines say that Redis went, and how many that it is back."""
    events = [line["event"] for line in gate.lines(offset)]
    return events.count("store_unavailable"), events.count("store_recovered")


@pytest.mark.parametrize("name", TROUBLES)
async def test_redis_is(place: Place, name: str) -> None:
    """Answers in time by each plan's policy, one line for each change, back within seconds, and no usage lost."""
    trouble, gate = TROUBLES[name], place.gate
    offset = gate.log.stat().st_size
    steady = Steady(gate, [place.prepaid, place.guessed])
    async with steady.running():
        began = time.monotonic()
        await asyncio.to_thread(trouble.begin, place)
        begun = time.monotonic()
        await asyncio.sleep(3)
        ended = time.monotonic()
        await asyncio.to_thread(trouble.end, place)
        recovery = await steady.all_served(time.monotonic())
        await eventually(lambda: len(set(state_lines(gate, offset))) == 1, RECOVERY)  # the other worker, too
    await quiet(gate)
    books, changes = await audit(gate), state_lines(gate, offset)
    answers = [sample for sample in steady.samples if began <= sample.began < ended]
    figures = Figures(answers, steady.syncs)
    print(f"redis {name}: {figures}, served again after {recovery:.1f} s, lines {changes}; {books}")
    settled = [each for each in answers if begun < each.began < ended - each.took]
    check_policy(place, settled, fatal=trouble.fatal, disk_is_slow=figures.disk_is_slow)
    assert figures.p99 <= DEADLINE + MARGIN + figures.slack
    assert recovery <= RECOVERY
    assert trouble.fatal <= changes[0] == changes[1] <= WORKERS


def check_policy(place: Place, samples: list[Sample], *, fatal: bool, disk_is_slow: bool) -> None:
    """Without Redis money is not spent on a guess, and limits are guessed at; each refusal says when to come back."""
    for sample in samples:
        answer = sample.answer
        if sample.customer is None:
            assert answer.status == 404
        elif answer.status == 503:
            assert sample.customer is place.prepaid or disk_is_slow
            assert answer.code == "store_unavailable"
            assert int(answer.get("retry-after") or 0) > 0
        else:
            assert answer.status == 200
            assert not (fatal and sample.customer is place.prepaid)
