"""All workers agree on where something is, remember it for as long as it is used, and survive the loss of Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import StoreError
from middlewares.tenancy import affinity_table
from middlewares.tenancy.affinity_table import AffinityTable, Resource, ResourceKind
from proxy.store.store import Store
from tests.store.servers import RedisServer

LIFE = dict.fromkeys(ResourceKind, 600.0)
MANIFEST = Resource("app_a", ResourceKind.MANIFEST, "app_a_cam")
RESULT = Resource("app_a", ResourceKind.RESULT, "0a1b2c3d")
FIRST, SECOND = "http://10.0.0.1:9935", "http://10.0.0.2:9935"


@pytest.fixture
async def stores(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Of two workers; Redis is empty."""
    redis_server.ask("FLUSHALL")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                await Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30)
            )
            for _ in range(2)
        ]


@pytest.fixture
def workers(stores: list[Store]) -> list[AffinityTable]:
    return [AffinityTable(store, RedisKeys(4, cluster=False), LIFE) for store in stores]


async def test_the_first_claim_holds_for_everybody(workers: list[AffinityTable]) -> None:
    one, other = workers
    claims = await asyncio.gather(one.claim(MANIFEST, FIRST), other.claim(MANIFEST, SECOND))
    assert len(set(claims)) == 1
    assert await other.find([MANIFEST]) == (MANIFEST, claims[0])


async def test_only_the_gateway_that_is_gone_gives_way(workers: list[AffinityTable]) -> None:
    """Of two workers that find it gone at the same time, one decides."""
    one, other = workers
    await one.claim(MANIFEST, FIRST)
    assert await other.claim(MANIFEST, SECOND, replacing="http://elsewhere") == FIRST
    assert await other.claim(MANIFEST, SECOND, replacing=FIRST) == SECOND
    assert await one.claim(MANIFEST, "http://third", replacing=FIRST) == SECOND
    assert await one.find([MANIFEST]) == (MANIFEST, SECOND)


async def test_what_another_worker_has_moved_is_found_when_looked_up_anew(workers: list[AffinityTable]) -> None:
    one, other = workers
    await one.claim(MANIFEST, FIRST)
    await other.claim(MANIFEST, SECOND, replacing=FIRST)
    assert await one.find([MANIFEST]) == (MANIFEST, FIRST)
    assert await one.find([MANIFEST], fresh=True) == (MANIFEST, SECOND)
    assert await one.find([MANIFEST]) == (MANIFEST, SECOND)


async def test_resources_of_other_apps_and_kinds_are_other_resources(workers: list[AffinityTable]) -> None:
    one, other = workers
    one.remember([RESULT], FIRST)
    await one.drain()
    assert await other.find([RESULT]) == (RESULT, FIRST)
    for unknown in (
        Resource("app_b", ResourceKind.RESULT, RESULT.name),
        Resource("app_a", ResourceKind.VIDEO, RESULT.name),
    ):
        assert await other.find([unknown]) is None


async def test_the_first_reading_that_is_known_counts(workers: list[AffinityTable]) -> None:
    one, other = workers
    await one.claim(MANIFEST, FIRST)
    assert await other.find([RESULT, MANIFEST]) == (MANIFEST, FIRST)
    one.remember([RESULT], SECOND)
    await one.drain()
    assert await one.find([RESULT, MANIFEST]) == (RESULT, SECOND)


async def test_all_that_is_looked_up_at_once_is_in_one_slot_of_a_cluster(
    workers: list[AffinityTable], stores: list[Store]
) -> None:
    await workers[0].claim(MANIFEST, FIRST)
    workers[0].remember([RESULT], FIRST)
    await workers[0].drain()
    tag = RedisKeys(4, cluster=False).tag("app_a")
    keys: Any = await stores[0].redis.keys("*")
    assert len(keys) == 2
    assert all(key.startswith(tag.encode()) for key in keys)


async def test_an_unknown_id_is_waited_for_a_moment(workers: list[AffinityTable]) -> None:
    """Its owner can be faster than the worker that saw it being made."""
    one, other = workers
    looking = asyncio.create_task(other.find([RESULT], retry=True))
    await asyncio.sleep(0)
    one.remember([RESULT], FIRST)
    assert await looking == (RESULT, FIRST)


async def test_use_prolongs_and_disuse_ends_it(stores: list[Store]) -> None:
    keys = RedisKeys(4, cluster=False)
    key = f"{keys.tag('app_a')}place:app_a:manifest:app_a_cam"
    await AffinityTable(stores[0], keys, LIFE).claim(MANIFEST, FIRST)
    assert await stores[0].redis.pexpire(key, 50_000)
    assert await AffinityTable(stores[1], keys, LIFE).find([MANIFEST]) == (MANIFEST, FIRST)
    assert 500_000 < await stores[0].redis.pttl(key) <= 600_000
    assert await stores[0].redis.pexpire(key, 0)
    assert await AffinityTable(stores[1], keys, LIFE).find([MANIFEST]) is None


async def test_what_a_worker_knows_outlives_redis(workers: list[AffinityTable], redis_server: RedisServer) -> None:
    one, other = workers
    await one.claim(MANIFEST, FIRST)
    redis_server.kill()
    try:
        assert await one.find([MANIFEST]) == (MANIFEST, FIRST)
        one.remember([RESULT], SECOND)
        await one.drain()
        assert await one.find([RESULT]) == (RESULT, SECOND)
        with pytest.raises(StoreError):
            await other.find([MANIFEST])
    finally:
        redis_server.start()
    with pytest.raises(StoreError):
        await one.find([Resource("app_a", ResourceKind.VIDEO, "1")], store_lost=True)


async def test_what_a_worker_knows_is_bounded(workers: list[AffinityTable], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = workers
    monkeypatch.setattr(affinity_table, "CACHE_ENTRIES", 3)
    results = [Resource("app_a", ResourceKind.RESULT, str(number)) for number in range(5)]
    one.remember(results, FIRST)
    await one.drain()
    for result in results[2:]:
        assert await one.find([result], store_lost=True) == (result, FIRST)
    for result in results[:2]:
        with pytest.raises(StoreError):
            await one.find([result], store_lost=True)
        assert await one.find([result]) == (result, FIRST), "Redis still has it"
