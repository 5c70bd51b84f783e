"""Notices of changes arrive, and after a gap all verdicts are looked up again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from middlewares.auth.records import RecordRef
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.records import CHANGES
from proxy.identity.change_watcher import ChangeWatcher
from proxy.store.store import Store
from tests.store.servers import RedisServer, eventually


@dataclass
class Heard:
    changes: list[RecordRef] = field(default_factory=list)
    missed: int = 0

    def miss(self) -> None:
        self.missed += 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def watcher(store: Store, heard: Heard) -> AsyncIterator[ChangeWatcher]:
    """Yield a watcher that has subscribed."""
    watching = ChangeWatcher(store.redis, changed=heard.changes.append, missed=heard.miss, silence=0.1)
    await watching.start()
    await eventually(lambda: heard.missed == 1)
    yield watching
    await watching.stop()


@pytest.mark.usefixtures("watcher")
async def test_every_change_of_a_record_is_heard(store: Store, heard: Heard) -> None:
    apps, keys = Apps(store.redis, None), ApiKeys(store.redis, None)
    app, _ = await apps.create("Acme", "free")
    key, _ = await keys.create(app.client_id)
    await apps.set_status(app.client_id, "suspended")
    await keys.revoke(key.key_id)
    await keys.revoke(key.key_id)  # a notice that was lost is repeated with the command
    await eventually(lambda: heard.changes == [app.ref, key.ref, key.ref])


@pytest.mark.usefixtures("watcher")
async def test_a_notice_that_is_none_puts_everything_in_doubt(store: Store, heard: Heard) -> None:
    notices = (b"", b"{", b"[]", b'{"kind":"planet","id":"x"}', b"\xff")
    for notice in notices:
        await store.redis.publish(CHANGES, notice)
    await eventually(lambda: heard.missed == 1 + len(notices))
    assert heard.changes == []


@pytest.mark.usefixtures("watcher")
async def test_after_a_lost_connection_changes_may_have_been_missed(redis_server: RedisServer, heard: Heard) -> None:
    with capture_logs() as logs:
        redis_server.kill()
        await eventually(lambda: bool(logs))
        redis_server.start()
        await eventually(lambda: heard.missed >= 2)
    assert [entry["event"] for entry in logs] == ["changes_unavailable", "changes_recovered"]


@pytest.mark.usefixtures("watcher")
async def test_a_redis_that_fell_silent_is_noticed(redis_server: RedisServer, heard: Heard) -> None:
    with capture_logs() as logs:
        redis_server.freeze()
        try:
            await eventually(lambda: bool(logs))
        finally:
            redis_server.thaw()
        await eventually(lambda: heard.missed >= 2)


@pytest.mark.usefixtures("watcher")
async def test_a_quiet_channel_is_no_silence(heard: Heard, store: Store) -> None:
    async def pings() -> int:
        stats = await store.redis.info("commandstats")
        return int(stats.get("cmdstat_ping", {}).get("calls", 0))

    async def three_more() -> bool:
        return await pings() >= before + 3

    with capture_logs() as logs:
        before = await pings()
        await eventually(three_more)
        await store.redis.publish(CHANGES, b'{"kind":"app","id":"app_1"}')
        await eventually(lambda: bool(heard.changes))
    assert heard.missed == 1
    assert logs == []


async def test_stopping_while_the_connection_is_lost_does_not_hang(
    store: Store, heard: Heard, redis_server: RedisServer
) -> None:
    watching = ChangeWatcher(store.redis, changed=heard.changes.append, missed=heard.miss)
    await watching.start()
    await eventually(lambda: heard.missed == 1)
    redis_server.kill()
    async with asyncio.timeout(60):
        await watching.stop()


async def test_a_watcher_starts_before_its_redis(store: Store, heard: Heard, redis_server: RedisServer) -> None:
    redis_server.kill()
    watching = ChangeWatcher(store.redis, changed=heard.changes.append, missed=heard.miss)
    with capture_logs() as logs:
        await watching.start()
        await eventually(lambda: bool(logs))
        redis_server.start()
        await eventually(lambda: heard.missed == 1)
    await watching.stop()
