"""Records, look-ups and change notices on a Redis Cluster of three masters, unchanged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from middlewares.auth.records import RecordRef
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.records import CHANGES
from proxy.control.users import Users
from proxy.identity.change_watcher import ChangeWatcher
from proxy.identity.record_directory import RecordDirectory
from proxy.store.store import Store
from tests.store.clusters import RedisCluster
from tests.store.conftest import servers_in
from tests.store.servers import eventually

pytestmark = pytest.mark.ci


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with servers_in(tmp_path) as start:
        yield RedisCluster(start)


async def test_everything_works_on_a_cluster(cluster: RedisCluster, tmp_path: Path) -> None:
    async with await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30) as store:
        apps, keys, users = Apps(store.redis, None), ApiKeys(store.redis, None), Users(store.redis)
        directory, heard = RecordDirectory(store), list[RecordRef]()
        subscribed: list[bool] = []
        watcher = ChangeWatcher(store.redis, changed=heard.append, missed=lambda: subscribed.append(True))
        await watcher.start()
        await eventually(lambda: bool(subscribed))
        made = [(await apps.create(f"app {number}", "free"))[0] for number in range(20)]
        assert await apps.list() == made
        for app in made:
            user, _ = await users.create(app.client_id, "ann")
            key, _ = await keys.create(app.client_id, user=user.user_id)
            assert await keys.list(app.client_id) == [key]
            assert await users.list(app.client_id) == [user]
            assert await directory.key(key.key_id) == key
            assert await directory.user(app.client_id, user.user_id) == user
            assert await directory.app(app.client_id) == app
            await keys.revoke(key.key_id)
        await eventually(lambda: len(heard) == len(made))
        await watcher.stop()


async def test_the_loss_of_the_node_that_is_listened_to_is_made_good(cluster: RedisCluster, tmp_path: Path) -> None:
    async with await Store.open(cluster.url, tmp_path, deadline=30, control_timeout=30) as store:
        heard: list[RecordRef] = []
        subscribed: list[bool] = []
        watcher = ChangeWatcher(store.redis, changed=heard.append, missed=lambda: subscribed.append(True))
        await watcher.start()
        await eventually(lambda: bool(subscribed))
        listened = next(node for node in cluster.masters if ":1\r\n" in node.ask("PUBSUB", "NUMSUB", CHANGES))
        listened.kill()
        await eventually(lambda: len(subscribed) > 1)
        survivor = next(node for node in cluster.masters if node is not listened)
        survivor.ask("PUBLISH", CHANGES, '{"kind":"app","id":"app_1"}')
        await eventually(lambda: heard == [RecordRef("app", "app_1")])
        await watcher.stop()
