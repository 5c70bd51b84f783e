"""A real cluster of three masters: calls find their slot while it stays, moves, is on its way, or loses its master."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from middlewares.store import Call, Script, StoreError, StoreRejected, StoreUnavailable
from proxy.store.breaker import BreakerState
from proxy.store.node import NodeChange
from proxy.store.store import Store
from tests.store.clusters import RedisCluster
from tests.store.conftest import StartServer, servers_in
from tests.store.servers import WITHIN, eventually

pytestmark = pytest.mark.usefixtures("nothing_left")

COUNT = Script("count", b"return redis.call('INCR', KEYS[1])")
COUNT_BOTH = Script("count both", b"redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")


@pytest.fixture
def cluster(start_server: StartServer) -> RedisCluster:
    """A cluster that the test may break."""
    return RedisCluster(start_server)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster that stays as it is, so one does for several tests."""
    with servers_in(tmp_path_factory.mktemp("sound")) as start:
        yield RedisCluster(start)


@pytest.fixture
def changes() -> list[NodeChange]:
    return []


@pytest.fixture
def news() -> list[str]:
    return []


@pytest.fixture
async def store(
    cluster: RedisCluster, tmp_path: Path, changes: list[NodeChange], news: list[str]
) -> AsyncIterator[Store]:
    async with await Store.open(
        cluster.url, tmp_path, deadline=1, on_state=changes.append, on_new_server=lambda: news.append("new")
    ) as store:
        yield store


async def test_each_call_goes_to_the_master_of_its_keys(sound: RedisCluster, tmp_path: Path) -> None:
    keys = [f"{{{n}}}:k" for n in range(300)]
    async with await Store.open(sound.url, tmp_path, deadline=1) as store:
        assert await asyncio.gather(*(store.run(Call(COUNT, (key,))) for key in keys)) == [1] * 300
        await store.health()
    for master in sound.masters:
        own = [key for key in keys if sound.master_of(key) is master]
        assert len(own) > 50
        assert all(master.ask("GET", key) == "$1\r\n1\r\n" for key in own)


async def test_keys_of_two_slots_are_the_callers_mistake(sound: RedisCluster, tmp_path: Path) -> None:
    async with await Store.open(sound.url, tmp_path, deadline=1) as store:
        with pytest.raises(StoreRejected, match="CROSSSLOT"):
            await store.run(Call(COUNT_BOTH, ("{a}", "{b}")))


async def test_a_slot_that_moved_is_followed_and_remembered(sound: RedisCluster, tmp_path: Path) -> None:
    source, target = sound.masters[:2]
    key = next(tag for tag in sound.tags_of(source) if sound.is_empty(key_slot(tag.encode())))
    async with await Store.open(sound.url, tmp_path, deadline=1) as store:
        sound.assign(key_slot(key.encode()), target)
        assert await asyncio.gather(*(store.run(Call(COUNT, (key,))) for _ in range(100))) == list(range(1, 101))
        redirected = _calls(source.ask("INFO", "commandstats"))
        await asyncio.gather(*(store.run(Call(COUNT, (key,))) for _ in range(100)))
        assert _calls(source.ask("INFO", "commandstats")) == redirected
    target.ask("DEL", key)
    sound.assign(key_slot(key.encode()), source)


def _calls(stats: str) -> list[str]:
    return [line.split(",usec")[0] for line in stats.splitlines() if line.startswith("cmdstat_eval")]


@pytest.mark.slow
async def test_a_live_migration_to_a_new_master_loses_and_doubles_nothing(
    cluster: RedisCluster, store: Store, changes: list[NodeChange]
) -> None:
    source, target = cluster.masters[0], cluster.add()
    tag = next(cluster.tags_of(source))
    slot = str(key_slot(tag.encode()))
    keys = [f"{tag}:{n}" for n in range(40)]
    counts: dict[str, list[int]] = {key: [] for key in keys}
    pairs: list[int] = []
    done = False

    async def count(turn: int) -> None:
        while not done:
            turn += 1
            counts[keys[turn % 40]].append(await store.run(Call(COUNT, (keys[turn % 40],)), deadline=WITHIN))

    async def count_both() -> None:
        while not done:
            pairs.append(await store.run(Call(COUNT_BOTH, (f"{tag}:one", f"{tag}:other")), deadline=WITHIN))

    def total() -> int:
        return sum(map(len, counts.values()))

    clients = [asyncio.create_task(work) for work in (*map(count, range(10)), count_both())]
    await eventually(lambda: total() > 500)
    assert target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source)).startswith("+OK")
    assert source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target)).startswith("+OK")
    for key in (*keys, f"{tag}:one", f"{tag}:other", f"{tag}:never-set"):
        before = total()
        source.ask("MIGRATE", target.endpoint.host, str(target.endpoint.port), key, "0", "5000")
        await eventually(lambda n=before: total() > n + 5)  # type: ignore[misc]
    assert source.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == ":0\r\n"
    cluster.assign(int(slot), target)
    before = total()
    await eventually(lambda: total() > before + 500)
    done = True
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*clients)
    for numbers in (*counts.values(), pairs):
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert not changes


@pytest.mark.slow
async def test_a_lost_master_takes_only_its_own_slots_and_comes_back(
    cluster: RedisCluster, store: Store, changes: list[NodeChange], tmp_path: Path
) -> None:
    kept, lost = (next(cluster.tags_of(master)) for master in cluster.masters[:2])
    cluster.masters[1].kill()

    async def call(key: str) -> bool:
        try:
            await store.run(Call(COUNT, (key,)))
        except StoreUnavailable:
            return False
        return True

    async def open_() -> bool:
        assert not await call(lost)
        return store.state is BreakerState.OPEN

    await eventually(open_)
    assert await call(kept)
    with pytest.raises(StoreUnavailable):
        await store.health()
    for latecomer in range(3):  # each learns of the nodes in an order of its own
        async with await Store.open(cluster.url, tmp_path, deadline=1) as another:
            assert await another.run(Call(COUNT, (kept,))) == 2 + latecomer
            assert await another.redis.get(kept) == b"%d" % (2 + latecomer)
            with pytest.raises(RedisError):
                await another.redis.get(lost)  # after which redis-py alone would not close its connections
    cluster.masters[1].start()
    await eventually(lambda: call(lost), within=5)
    assert [change.state for change in changes] == [BreakerState.OPEN, BreakerState.CLOSED]
    assert changes[0].node == str(cluster.masters[1].endpoint)


@pytest.mark.slow
@pytest.mark.parametrize("hurt", ["kill", "freeze"])
async def test_a_replica_that_takes_over_is_found(
    cluster: RedisCluster, store: Store, news: list[str], hurt: str
) -> None:
    replica = cluster.add_replica(cluster.masters[0])
    key = next(cluster.tags_of(cluster.masters[0]))
    assert await store.run(Call(COUNT, (key,))) == 1
    await eventually(lambda: replica.ask("DBSIZE") == ":1\r\n")
    getattr(cluster.masters[0], hurt)()

    async def served() -> bool:
        try:
            return bool(await store.run(Call(COUNT, (key,)), deadline=0.1))
        except StoreUnavailable:
            return False

    await eventually(lambda: "role:master" in replica.ask("INFO", "replication"))
    await eventually(served, within=5)
    await eventually(lambda: store.state is BreakerState.CLOSED)
    assert news


async def test_the_control_client_speaks_to_the_cluster(sound: RedisCluster, tmp_path: Path) -> None:
    async with await Store.open(sound.url, tmp_path, deadline=1) as store:
        for n in range(10):
            await store.redis.set(f"k{n}", n)
        assert [await store.redis.get(f"k{n}") for n in range(10)] == [b"%d" % n for n in range(10)]
        async with store.redis.pubsub() as listener:
            await listener.subscribe("news")
            await listener.get_message(timeout=WITHIN)
            await store.redis.publish("news", "hello")
            message = await listener.get_message(timeout=WITHIN, ignore_subscribe_messages=True)
            assert message is not None
            assert message["data"] == b"hello"


async def test_a_wrong_kind_of_address_is_told(sound: RedisCluster, start_server: StartServer, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is a cluster: write its address as redis\+cluster://"):
        await Store.open(sound.masters[0].url, tmp_path)
    single = start_server(tcp=True)
    with pytest.raises(StoreError, match=r"not a node of a cluster: .* cluster support disabled"):
        await Store.open(f"redis+cluster://{single.endpoint}", tmp_path)


async def test_a_cluster_without_slots_is_told(start_server: StartServer, tmp_path: Path) -> None:
    empty = start_server("--cluster-enabled", "yes", tcp=True)
    with pytest.raises(StoreUnavailable, match="no slots are assigned"):
        await Store.open(f"redis+cluster://{empty.endpoint}", tmp_path)
