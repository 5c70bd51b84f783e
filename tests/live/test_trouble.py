"""Live sessions where Redis is a cluster, or away for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.sessions.sessions import Sessions
from proxy.store.store import Store
from tests.ledger.redis_time import NEW_YEAR, Clocked
from tests.live.assertions import GAP, PER_SECOND, TICK, LedgerView
from tests.live.server_fixture import rig, settings_of
from tests.store.clusters import RedisCluster
from tests.store.conftest import servers_in
from tests.store.servers import DURABLE, eventually


@pytest.mark.ci
async def test_each_session_keeps_to_one_slot_of_a_cluster(tmp_path: Path) -> None:
    with servers_in(tmp_path) as start:
        async with await Store.open(RedisCluster(start).url, tmp_path, deadline=10) as store:
            clocked = Clocked(store, NEW_YEAR)
            ledger_view = LedgerView(store, clocked, RedisKeys(8, cluster=True), tmp_path)
            sessions = Sessions(clocked, ledger_view.keys, tick=TICK, gap=GAP)
            apps = [f"app_{number}" for number in range(6)]
            for app in apps:
                await ledger_view.grant(3 * TICK // 1_000 * PER_SECOND, app)
                assert await sessions.begin(app, ledger_view.policy("prepaid", app), "noop", request="r") is None
            for number in range(1, 4):
                clocked.now_ms += TICK
                for app in apps:
                    found = await sessions.find(app, app)
                    assert found is not None
                    assert await sessions.tick(found, ledger_view.policy("prepaid", app)) is (number < 3)
            assert [await ledger_view.lived(app) for app in apps] == [3 * TICK] * 6
            assert await ledger_view.holds() == 0
            await ledger_view.check()


async def test_what_a_lost_redis_did_not_hear_is_charged_when_it_is_back(tmp_path: Path) -> None:
    """The stream goes on meanwhile: a gateway listens to a success alone."""
    with servers_in(tmp_path) as start:
        server = start(*DURABLE)
        async with await Store.open(server.url, tmp_path, deadline=10) as store:
            ledger_view = LedgerView(store, Clocked(store, NEW_YEAR), RedisKeys(1, cluster=False), tmp_path)
            async with rig(ledger_view, settings_of()) as live:
                customer = await live.customer()
                await live.publish(customer)
                await live.beat()
                server.kill()
                response = await live.ask("/webhooks/live/heartbeat", {"ids": live.gateway.live})
                assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
                await live.beat()
                assert live.gateway.live == [f"{customer.app}_cam"]
                server.start()
                ledger_view.clocked.now_ms += TICK

                async def charged() -> bool:
                    await live.gateway.beat()
                    response = await live.ask("/webhooks/live/heartbeat", {"ids": live.gateway.live})
                    return response.status_code == 200

                await eventually(charged)
                assert await ledger_view.lived(customer.app) == 3 * TICK
                assert live.gateway.kicked == []
                await ledger_view.check()
