"""On Redis Cluster each hash tag is archived where it lies, and a new master is compared with the history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.history import HistorySettings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.store import History
from proxy.reporting.stream import AppEvents
from proxy.reporting.verify.verification import verify
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive, event
from tests.reporting.ledger_fixture import ALWAYS
from tests.store.clusters import RedisCluster
from tests.store.conftest import servers_in
from tests.store.servers import eventually

pytestmark = pytest.mark.slow

KEPT = HistorySettings(keep_in_redis_seconds=3600)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with servers_in(tmp_path) as start:
        yield RedisCluster(start)


async def test_every_tag_is_archived_and_read(cluster: RedisCluster, tmp_path: Path) -> None:
    history = History.at(f"sqlite:///{tmp_path}/history.sqlite")
    async with await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30) as store:
        archive = Archive(store.redis, RedisKeys(TAGS, cluster=True), history)
        written: dict[str, list[str]] = {f"app_{number}": [] for number in range(12)}
        for app, ids in written.items():
            for _ in range(20):
                each = event(app)
                await archive.add(each, 10**27, wallet="app")
                ids.append(each.id)
        assert await archive.advance()
        for app, ids in written.items():
            assert sorted([each.event.id async for each in AppEvents(archive.sources, app).read(ALWAYS)]) == sorted(ids)
        differences, counts = await verify(archive.sources, {})
        assert (differences, counts.events) == ([], 240)
        assert sorted(await archive.in_history()) == sorted(each for ids in written.values() for each in ids)
    await history.close()


async def test_a_failover_loses_and_doubles_nothing(cluster: RedisCluster, tmp_path: Path) -> None:
    """The replica has not heard of the last events; their ledger writes them again under other entries."""
    keys = RedisKeys(TAGS, cluster=True)
    master = cluster.master_of(keys.tag("app_0"))
    replica = cluster.add_replica(master)
    history = History.at(f"sqlite:///{tmp_path}/history.sqlite")
    async with await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30) as store:
        archive = Archive(store.redis, keys, history)
        client: Any = store.redis
        shared, lost, late = event("app_0"), event("app_0"), event("app_0")
        await archive.add(shared, 1)
        assert await client.execute_command("WAIT", 1, 10_000, target_nodes=client.get_node_from_key(keys.tag("app_0")))
        replica.freeze()
        await archive.add(lost, 2)
        assert await archive.advance(KEPT)
        assert sorted(await archive.in_history()) == sorted([shared.id, lost.id])
        master.kill()
        replica.thaw()

        async def taken_over() -> bool:
            try:
                return bool(await client.set(f"{keys.tag('app_0')}probe", "1"))
            except Exception:
                return False

        await eventually(taken_over, within=30)
        await archive.add(lost, 2)
        await archive.add(late, 3)
        await eventually(lambda: archive.advance(KEPT), within=30)
        assert sorted(await archive.in_history()) == sorted([shared.id, lost.id, late.id])
        read = [each.event.id async for each in AppEvents(archive.sources, "app_0").read(ALWAYS)]
        assert sorted(read) == sorted([shared.id, lost.id, late.id])
        assert ("rewound", archive.stream("app_0")) in archive.reports.lines
        differences, counts = await verify(archive.sources, {})
        assert (differences, counts.events) == ([], 3)
    await history.close()
