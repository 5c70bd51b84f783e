"""Hazard: usage from a journal is written twice, or never, or is lost with the damaged line beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from middlewares.ledger.credit.prepaid import grant
from proxy.store.configured import redis_keys
from tests.chaos.assertions import audit, kill_everything, wait_until_settled
from tests.chaos.load import IMAGE, post
from tests.store.servers import DURABLE, RedisServer, binaries
from tests.support.deployment import Deployment, deployed, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

EACH = 20
CONFIG = {
    "hold_ttl": 5,
    "plans": {
        "prepaid": {"billing": "credits", "prices": [{"unit": "requests", "amount": 10**18}]},
        "guessed": {"limits": {"app": {"requests_per_minute": 100_000}}},
    },
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(binaries(folder)[0], folder / "redis", *DURABLE, tcp=True).start()
    yield server
    server.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> AsyncIterator[Deployment]:
    """Run one worker, which every test leaves running with an empty journal and nothing held."""
    async with deployed(tmp_path_factory.mktemp("replay"), {**CONFIG, "redis_url": redis.url}) as deployment:
        yield deployment


@dataclass(frozen=True, slots=True)
class Before:
    """Events of the tests before this one."""

    outcomes: Counter[str]
    adjustments: int


@pytest_asyncio.fixture(loop_scope="module")
async def before(deployment: Deployment) -> Before:
    events = await deployment.events()
    outcomes = Counter(event["outcome"] for event in events if event["type"] == "usage")
    return Before(outcomes, sum(event["type"] == "adjustment" for event in events))


def lines(deployment: Deployment) -> list[bytes]:
    """Return the lines of all journals."""
    return [line for path in deployment.journals() for line in path.read_bytes().splitlines(keepends=True)]


def is_end(line: bytes) -> bool:
    """True if a line is the end of a request; others say that one was admitted without Redis."""
    return "settlement" in json.loads(line[9:])


async def end_without_redis(deployment: Deployment, redis: RedisServer) -> int:
    """End requests while Redis is away, two thirds admitted by it and one third without it; return how many."""
    hold = f"until-redis-is-away-{len(deployment.gateway.requests)}"
    image = IMAGE | {"model_id": f"mock/hold={hold}"}
    customers = [await deployment.customer("prepaid"), await deployment.customer("guessed")]
    async with deployment.store() as store:
        await grant(store, redis_keys(deployment.settings), customers[0].app, None, 10**24, reference="test")
    async with contextlib.AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(aiohttp.ClientSession(headers=customer.headers)) for customer in customers
        ]
        held = [asyncio.create_task(post(session, deployment, image)) for session in sessions for _ in range(EACH)]
        await deployment.gateway.wait_for(held=2 * EACH)
        redis.kill()
        held += [asyncio.create_task(post(sessions[1], deployment, image)) for _ in range(EACH)]
        await deployment.gateway.wait_for(held=len(held))
        deployment.gateway.release(hold)
        assert await asyncio.gather(*held) == [200] * len(held)
    await eventually(lambda: sum(map(is_end, lines(deployment))) == len(held))
    return len(held)


@pytest.mark.slow
async def test_it_is_written_once_when_redis_is_back(
    deployment: Deployment, redis: RedisServer, before: Before
) -> None:
    count = await end_without_redis(deployment, redis)
    redis.start()
    await wait_until_settled(deployment)
    result = await audit(deployment)
    print(f"replay to a Redis that is back: {result}")
    complete, adjustments = (result.outcomes - before.outcomes)["complete"], result.adjustments - before.adjustments
    assert complete + adjustments == count


def keep(_: Path) -> bytes:
    return b""


def tear(journal: Path) -> bytes:
    """Add a line that was not written to its end."""
    torn = journal.read_bytes().splitlines()[-1][:50]
    with journal.open("ab") as file:
        file.write(torn)
    return torn


def damage(journal: Path) -> bytes:
    """Change a bit of the first end of a request."""
    before = journal.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(before) if is_end(line))
    damaged = before[at][:100] + bytes([before[at][100] ^ 1]) + before[at][101:]
    journal.write_bytes(b"".join([*before[:at], damaged, *before[at + 1 :]]))
    return damaged


def repeat(journal: Path) -> bytes:
    """Write every line three times, in any order."""
    repeated = 3 * journal.read_bytes().splitlines(keepends=True)
    random.shuffle(repeated)
    journal.write_bytes(b"".join(repeated))
    return b""


@pytest.mark.slow
@pytest.mark.parametrize("change", [keep, tear, damage, repeat])
async def test_it_is_written_once_by_the_next_start(
    deployment: Deployment, redis: RedisServer, before: Before, change: Callable[[Path], bytes]
) -> None:
    """What cannot be read is set aside and reported; the request of a damaged end becomes an orphan."""
    count = await end_without_redis(deployment, redis)
    await kill_everything(deployment)
    corrupt = [change(path) for path in deployment.journals() if path.stat().st_size]
    offset = deployment.log.stat().st_size
    redis.start()
    await deployment.start()
    await wait_until_settled(deployment)
    result = await audit(deployment)
    kept = [line["kept_as"] for line in deployment.lines(offset) if line["event"] == "journal_corrupt"]
    print(f"replay by the next start, journal {change.__name__}: {result}; set aside: {len(kept)}")
    aside = [(deployment.settings.data_dir / "journal" / name).read_bytes() for name in kept]
    assert sorted(aside) == sorted(filter(None, corrupt))
    orphans = len(corrupt) if change is damage else 0
    assert result.adjustments == before.adjustments
    assert result.outcomes - before.outcomes == Counter(complete=count - orphans, orphaned=orphans)
