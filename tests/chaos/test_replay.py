"""Hazard: usage that waited in a journal and is written twice, or never, or is lost with the damaged line beside it."""

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
from tests.chaos.assertions import audit, journals, quiet, slay
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
async def gate(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path, {**CONFIG, "redis_url": redis.url}) as gate:
        yield gate


def lines(gate: Deployment) -> list[bytes]:
    """Of all journals."""
    return [line for path in journals(gate) for line in path.read_bytes().splitlines(keepends=True)]


def is_end(line: bytes) -> bool:
    """Whether a line is the end of a request; others say that one was admitted without Redis."""
    return "settlement" in json.loads(line[9:])


async def end_without_redis(gate: Deployment, redis: RedisServer) -> int:
    """Let requests end of which Redis is told nothing, two thirds admitted by it and one without it; how many."""
    customers = [await gate.customer("prepaid"), await gate.customer("guessed")]
    async with gate.store() as store:
        await grant(store, redis_keys(gate.settings), customers[0].app, None, 10**24, reference="test")
    async with contextlib.AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(aiohttp.ClientSession(headers=customer.headers)) for customer in customers
        ]
        held = [asyncio.create_task(post(session, gate, HELD)) for session in sessions for _ in range(EACH)]
        await gate.gateway.wait_for(held=2 * EACH)
        redis.kill()
        held += [asyncio.create_task(post(sessions[1], gate, HELD)) for _ in range(EACH)]
        await gate.gateway.wait_for(held=len(held))
        gate.gateway.release("for-ever")
        assert await asyncio.gather(*held) == [200] * len(held)
    await eventually(lambda: sum(map(is_end, lines(gate))) == len(held))
    return len(held)


async def test_it_is_written_once_when_redis_is_back(gate: Deployment, redis: RedisServer) -> None:
    count = await end_without_redis(gate, redis)
    redis.start()
    await quiet(gate)
    books = await audit(gate)
    print(f"replay to a Redis that is back: {books}")
    assert books.outcomes["complete"] + books.adjustments == count


def leave(_: Path) -> bytes:
    return b""


def tear(journal: Path) -> bytes:
    """The last line was not written to its end."""
    torn = journal.read_bytes().splitlines()[-1][:50]
    with journal.open("ab") as file:
        file.write(torn)
    return torn


def damage(journal: Path) -> bytes:
    """A bit of the first end has changed."""
    before = journal.read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(before) if is_end(line))
    damaged = before[place][:100] + bytes([before[place][100] ^ 1]) + before[place][101:]
    journal.write_bytes(b"".join([*before[:place], damaged, *before[place + 1 :]]))
    return damaged


def repeat(journal: Path) -> bytes:
    """Every line stands there three times, in any order."""
    repeated = 3 * journal.read_bytes().splitlines(keepends=True)
    random.shuffle(repeated)
    journal.write_bytes(b"".join(repeated))
    return b""


@pytest.mark.parametrize("change", [leave, tear, damage, repeat])
async def test_it_is_written_once_by_the_next_start(
    gate: Deployment, redis: RedisServer, change: Callable[[Path], bytes]
) -> None:
    """What cannot be read is set aside and reported; the request of a damaged end becomes an orphan."""
    count = await end_without_redis(gate, redis)
    await slay(gate)
    corrupt = [change(path) for path in journals(gate) if path.stat().st_size]
    offset = gate.log.stat().st_size
    redis.start()
    await gate.start()
    await quiet(gate)
    books = await audit(gate)
    kept = [line["kept_as"] for line in gate.lines(offset) if line["event"] == "journal_corrupt"]
    print(f"replay by the next start, journal {change.__name__}: {books}; set aside: {len(kept)}")
    aside = [(gate.settings.data_dir / "journal" / name).read_bytes() for name in kept]
    assert sorted(aside) == sorted(filter(None, corrupt))
    orphans = len(corrupt) if change is damage else 0
    assert books.adjustments == 0
    assert (books.outcomes["complete"], books.outcomes["orphaned"]) == (count - orphans, orphans)
