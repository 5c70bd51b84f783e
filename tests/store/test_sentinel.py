"""Real failovers: the store follows the sentinels to the new master, and says that writes may be missing."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio.sentinel import MasterNotFoundError

from middlewares.store import Call, Script, StoreError, StoreUnavailable
from proxy.store.breaker import BreakerState
from proxy.store.node import NodeChange
from proxy.store.store import Store
from proxy.store.topology import SentinelServers
from tests.store.conftest import StartServer
from tests.store.servers import RedisServer, Sentinel, binaries, eventually, free_port

pytestmark = [pytest.mark.ci, pytest.mark.usefixtures("nothing_left")]

StartSentinel = Callable[..., Sentinel]

COUNT = Script("count", b"return redis.call('INCR', KEYS[1])")


class Deployment:
    """A master, two replicas and three sentinels that agree on them."""

    def __init__(self, start: StartServer, start_sentinel: StartSentinel) -> None:
        self.master = start("--repl-diskless-sync-delay", "0", tcp=True)
        host, port = self.master.endpoint.host, str(self.master.endpoint.port)
        options = ("--replicaof", host, port, "--repl-diskless-sync-delay", "0")
        self.replicas = [start(*options, tcp=True) for _ in range(2)]
        self.sentinels = [start_sentinel(self.master) for _ in range(3)]

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(str(sentinel.endpoint) for sentinel in self.sentinels) + "/main"

    async def settled(self) -> None:
        """Wait until a failover could succeed."""
        for sentinel in self.sentinels:
            await eventually(lambda s=sentinel: "slaves=2,sentinels=3" in s.ask("INFO", "sentinel"))  # type: ignore[misc]
        await eventually(lambda: "connected_slaves:2" in self.master.ask("INFO", "replication"))
        for replica in self.replicas:
            await eventually(lambda r=replica: "master_link_status:up" in r.ask("INFO", "replication"))  # type: ignore[misc]

    def promoted(self) -> bool:
        return any("role:master" in replica.ask("INFO", "replication") for replica in self.replicas)


@pytest.fixture
def start_sentinel(tmp_path: Path, nothing_left: None) -> Iterator[StartSentinel]:
    """Starts sentinels that end with the test."""
    sentinels: list[Sentinel] = []

    def start(master: RedisServer, epoch: int = 0) -> Sentinel:
        sentinels.append(Sentinel(binaries(tmp_path)[0], tmp_path / f"sentinel{len(sentinels)}", master, epoch))
        sentinels[-1].start()
        return sentinels[-1]

    yield start
    for sentinel in sentinels:
        sentinel.kill()


@pytest.fixture
async def deployment(start_server: StartServer, start_sentinel: StartSentinel) -> Deployment:
    deployment = Deployment(start_server, start_sentinel)
    await deployment.settled()
    return deployment


def fail_over(deployment: Deployment) -> None:
    """A planned one: the old master lives on, as a replica."""
    assert deployment.sentinels[0].ask("SENTINEL", "FAILOVER", "main").startswith("+OK")


def kill(deployment: Deployment) -> None:
    deployment.master.kill()
    deployment.sentinels[0].kill()  # and the sentinel that is asked first


def freeze(deployment: Deployment) -> None:
    deployment.master.freeze()
    deployment.sentinels[0].freeze()


@pytest.mark.slow
@pytest.mark.parametrize("hurt", [fail_over, kill, freeze], ids=lambda hurt: hurt.__name__)
async def test_the_new_master_is_found(
    deployment: Deployment, tmp_path: Path, hurt: Callable[[Deployment], None]
) -> None:
    changes: list[NodeChange] = []
    news: list[str] = []
    async with await Store.open(
        deployment.url, tmp_path, deadline=0.1, on_state=changes.append, on_new_server=lambda: news.append("new")
    ) as store:
        assert await store.run(Call(COUNT, ("k",)), deadline=1) == 1
        await eventually(lambda: all(replica.ask("DBSIZE") == ":1\r\n" for replica in deployment.replicas))
        hurt(deployment)

        async def served() -> bool:
            try:
                return bool(await store.run(Call(COUNT, ("k",))))
            except StoreUnavailable:
                return False

        await eventually(deployment.promoted)
        await eventually(served, within=5)
        await eventually(lambda: bool(news))
        await eventually(served)
        assert store.state is BreakerState.CLOSED
        states = [change.state for change in changes]
        assert states == [BreakerState.OPEN, BreakerState.CLOSED] * (len(states) // 2)

        async def followed() -> bool:
            try:
                return int(await store.redis.get("k") or 0) > 1
            except MasterNotFoundError:  # the sentinels learn of it one after the other
                return False

        await eventually(followed)


@pytest.mark.slow
async def test_sentinels_that_are_silent_for_a_moment_do_not_keep_the_store_from_opening(
    deployment: Deployment, tmp_path: Path
) -> None:
    """As they are while their state is written to a slow disk, just after a failover."""
    for sentinel in deployment.sentinels:
        sentinel.freeze()
    loop = asyncio.get_running_loop()
    for sentinel in deployment.sentinels:
        loop.call_later(1.5, sentinel.thaw)
    async with await Store.open(deployment.url, tmp_path) as store:
        assert await store.run(Call(COUNT, ("k",)), deadline=1) == 1


@pytest.mark.slow
async def test_a_master_that_the_sentinels_gave_up_is_left_although_it_still_answers(
    deployment: Deployment, start_server: StartServer, tmp_path: Path
) -> None:
    other = start_server(tcp=True)
    async with await Store.open(deployment.url, tmp_path) as store:
        assert await store.run(Call(COUNT, ("k",))) == 1
        for sentinel in deployment.sentinels:
            sentinel.ask("SENTINEL", "REMOVE", "main")
            sentinel.ask("SENTINEL", "MONITOR", "main", other.endpoint.host, str(other.endpoint.port), "2")

        async def on_the_other() -> bool:
            try:
                await store.run(Call(COUNT, ("k",)))
            except StoreUnavailable:
                return False
            return other.ask("EXISTS", "k") == ":1\r\n"

        await eventually(on_the_other)


@pytest.mark.slow
async def test_the_sentinel_that_knows_of_the_latest_failover_is_believed(
    start_server: StartServer, start_sentinel: StartSentinel, tmp_path: Path
) -> None:
    """Others may go on naming the old master for seconds, which takes writes that are lost as soon as it learns."""
    old, new = start_server(tcp=True), start_server(tcp=True)
    sentinels = start_sentinel(old, epoch=6), start_sentinel(new, epoch=7)
    url = "redis+sentinel://" + ",".join(str(sentinel.endpoint) for sentinel in sentinels) + "/main"
    async with await Store.open(url, tmp_path) as store:
        assert await store.run(Call(COUNT, ("k",))) == 1
        await asyncio.sleep(SentinelServers.WATCH_SECONDS)
        assert await store.run(Call(COUNT, ("k",))) == 2
    assert new.ask("GET", "k") == "$1\r\n2\r\n"


@pytest.mark.slow
async def test_the_latest_failover_is_not_forgotten_while_those_that_know_of_it_are_silent(
    start_server: StartServer, start_sentinel: StartSentinel, tmp_path: Path
) -> None:
    """Hazard: the old master thaws while the sentinel that knows of its fall is busy; usage goes there and is lost."""
    old, new = start_server(tcp=True), start_server(tcp=True)
    stale, informed = start_sentinel(old, epoch=6), start_sentinel(new, epoch=7)
    url = "redis+sentinel://" + ",".join(str(sentinel.endpoint) for sentinel in (stale, informed)) + "/main"
    async with await Store.open(url, tmp_path) as store:
        assert await store.run(Call(COUNT, ("k",))) == 1
        informed.freeze()
        await asyncio.sleep(2.5 * SentinelServers.WATCH_SECONDS)
        assert await store.run(Call(COUNT, ("k",))) == 2
        informed.thaw()
    assert new.ask("GET", "k") == "$1\r\n2\r\n"
    assert old.ask("EXISTS", "k") == ":0\r\n"


async def test_an_unknown_master_is_told(
    start_server: StartServer, start_sentinel: StartSentinel, tmp_path: Path
) -> None:
    sentinel = start_sentinel(start_server(tcp=True))
    with pytest.raises(StoreError, match=r"no sentinel of .* replies and names a master 'other'"):
        await Store.open(f"redis+sentinel://{sentinel.endpoint}/other", tmp_path)


async def test_sentinels_that_are_not_there_are_told_without_a_password(tmp_path: Path) -> None:
    url = f"redis+sentinel://u:s3cret@127.0.0.1:{free_port()}/main?sentinel_password=s3cret"
    with pytest.raises(StoreError, match=r"no sentinel of .* replies and names a master 'main'") as caught:
        await Store.open(url, tmp_path)
    assert "s3cret" not in str(caught.value)
