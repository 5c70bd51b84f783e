"""Hazard: usage from a journal is written twice, or never, or is lost with the damaged line beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from middlewares.ledger.credit.prepaid import grant
from proxy.store.configured import redis_keys
from tests.chaos.assertions import audit, kill_everything, wait_until_settled
from tests.chaos.load import HELD, post
from tests.store.servers import DURABLE, RedisServer, binaries
from tests.support.deployment import Deployment, deployed, eventually

EACH = 20
CONFIG = {
    "hold_ttl": 5,
    "plans": {
        "prepaid": {"billing": "credits", "prices": [{"unit": "requests", "amount": 10**18}]},
        "guessed": {"limits": {"app": {"requests_per_minute": 100_000}}},
    },
}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(binaries(tmp_path)[0], tmp_path / "redis", *DURABLE, tcp=True).start()
    yield server
    server.kill()


@pytest.fixture
async def deployment(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path, {**CONFIG, "redis_url": redis.url}) as deployment:
        yield deployment


def lines(deployment: Deployment) -> list[bytes]:
    """Return the lines of all journals."""
    return [line for path in deployment.journals() for line in path.read_bytes().splitlines(keepends=True)]


def is_end(line: bytes) -> bool:
    """True if a line is the end of a request; others say that one was admitted without Redis."""
    return "settlement" in json.loads(line[9:])


async def end_without_redis(deployment: Deployment, redis: RedisServer) -> int:
    """End requests while Redis is away, two thirds admitted by it and one third without it; return how many."""
    customers = [await deployment.customer("prepaid"), await deployment.customer("guessed")]
    async with deployment.store() as store:
        await grant(store, redis_keys(deployment.settings), customers[0].app, None, 10**24, reference="test")
    async with contextlib.AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(aiohttp.ClientSession(headers=customer.headers)) for customer in customers
        ]
        held = [asyncio.create_task(post(session, deployment, HELD)) for session in sessions for _ in range(EACH)]
        await deployment.gateway.wait_for(held=2 * EACH)
        redis.kill()
        held += [asyncio.create_task(post(sessions[1], deployment, HELD)) for _ in range(EACH)]
        await deployment.gateway.wait_for(held=len(held))
        deployment.gateway.release("for-ever")
        assert await asyncio.gather(*held) == [200] * len(held)
    await eventually(lambda: sum(map(is_end, lines(deployment))) == len(held))
    return len(held)


async def test_it_is_written_once_when_redis_is_back(deployment: Deployment, redis: RedisServer) -> None:
    count = await end_without_redis(deployment, redis)
    redis.start()
    await wait_until_settled(deployment)
    result = await audit(deployment)
    print(f"replay to a Redis that is back: {result}")
    assert result.outcomes["complete"] + result.adjustments == count


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


@pytest.mark.parametrize("change", [keep, tear, damage, repeat])
async def test_it_is_written_once_by_the_next_start(
    deployment: Deployment, redis: RedisServer, change: Callable[[Path], bytes]
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
    assert result.adjustments == 0
    assert (result.outcomes["complete"], result.outcomes["orphaned"]) == (count - orphans, orphans)
