"""Keys, statements, streams and pools: each told of once, and none that an endpoint is too young for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.plans import Plan
from config.workloads import Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.sessions.sessions import Sessions
from proxy.control.api_keys import ApiKeys
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.control.webhook_endpoints import OPERATOR
from proxy.webhooks.notifications.delivery import DAY_MS
from proxy.webhooks.notifications.stream_finder import KINDS
from tests.webhooks.notifications.conftest import Notified

pytestmark = pytest.mark.ci


GATEWAY = "http://127.0.0.1:9935"
MINUTE_MS = 60_000
PAST_LOOK_MS = 10 * MINUTE_MS


async def revoke(notified: Notified, app: str, key_id: str) -> None:
    """Revoke a key as the APIs and commands do, and archive the line of it."""
    audit = AuditLog(notified.store.redis)
    async with audit.act(Actor(ActorKind.APP, app), "key.revoke", AuditTarget("key", key_id, app)):
        await ApiKeys(notified.store.redis, None).revoke(key_id)
    await notified.archive.advance()


@pytest.mark.slow
async def test_keys_that_expire_that_are_old_and_that_were_revoked_are_told_of_once(notified: Notified) -> None:
    app = await notified.app("unlimited")
    keys = ApiKeys(notified.store.redis, None)
    early, _ = await keys.create(app)
    await revoke(notified, app, early.key_id)
    soon, _ = await keys.create(app, expires_at=datetime.now(UTC) + timedelta(days=6))
    later, _ = await keys.create(app, expires_at=datetime.now(UTC) + timedelta(days=60))
    rotated, _ = await keys.create(app)
    await keys.rotate(rotated.key_id, timedelta(hours=1))
    await notified.endpoint(app)
    for _ in range(3):
        await notified.round()
        notified.later_ms += PAST_LOOK_MS
    assert [each["key_id"] for each in notified.receiver.of_kind("key.expiring")] == [soon.key_id]
    await revoke(notified, app, soon.key_id)
    for _ in range(3):
        await notified.round()
    [revoked] = notified.receiver.of_kind("key.revoked")  # and not the one from before the endpoint
    assert (revoked["key_id"], revoked["by"]) == (soon.key_id, "app")
    notified.later_ms = 59 * DAY_MS
    await notified.round()
    assert [each["key_id"] for each in notified.receiver.of_kind("key.expiring")] == [soon.key_id, later.key_id]
    for days in (91, 92, 200):
        notified.later_ms = days * DAY_MS
        await notified.round()
    old = [each["key_id"] for each in notified.receiver.of_kind("key.old")]
    assert len(old) == len(set(old)) == 1
    assert {rotated.key_id, soon.key_id, later.key_id}.isdisjoint(old)


@pytest.mark.sampled(2)
async def test_what_happens_while_an_endpoint_is_paused_waits_for_it_but_not_for_ever(notified: Notified) -> None:
    """Hazard: the look of another app's endpoint at the audit log passes over what an endpoint that is paused wants."""
    app, other = await notified.app("unlimited"), await notified.app("unlimited")
    keys = [(await ApiKeys(notified.store.redis, None).create(app))[0].key_id for _ in range(2)]
    endpoint = (await notified.endpoint(app, kinds=("key.revoked",))).webhook_id
    await notified.service.create(other, notified.receiver.url, kinds=("key.revoked",))
    await notified.round()
    await notified.service.change(app, endpoint, {"status": "paused"})
    await revoke(notified, app, keys[0])
    for _ in range(2):
        await notified.round()
    assert notified.receiver.connections == 0
    await notified.service.change(app, endpoint, {"status": "active"})
    await notified.round()
    assert [each["key_id"] for each in notified.receiver.of_kind("key.revoked")] == [keys[0]]
    await notified.service.change(app, endpoint, {"status": "paused"})
    await revoke(notified, app, keys[1])
    await notified.round()
    [waits, _], _ = await notified.service.deliveries(app, endpoint, None, 100)
    assert waits.state == "pending"
    notified.later_ms = 200 * DAY_MS
    await notified.round()
    assert (await notified.service.deliveries(app, endpoint, None, 100))[0] == []


async def test_the_statement_of_a_month_is_told_of_after_its_end_to_endpoints_of_that_time(notified: Notified) -> None:
    app = await notified.app("unlimited")
    await notified.endpoint(app)
    await notified.round()
    now = datetime.now(UTC)
    assert notified.receiver.of_kind("statement.ready") == []
    first = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    for hours in (0.5, 1.5, 3, 100):
        notified.later_ms = round((first - now).total_seconds() * 1_000 + hours * 60 * MINUTE_MS)
        await notified.round()
        assert len(notified.receiver.of_kind("statement.ready")) == (hours > 1)
    period = f"{now:%Y-%m}"
    assert notified.receiver.of_kind("statement.ready") == [
        {"period": period, "path": f"/api/v1/apps/{app}/statements/{period}"}
    ]


@pytest.mark.slow
async def test_a_stream_is_told_of_when_it_starts_idles_and_ends(notified: Notified) -> None:
    app = await notified.app("unlimited")
    await notified.endpoint(app, kinds=KINDS)
    await notified.round()
    policy = Policy(notified.keys, app=app, user="ann", key=None, name="unlimited", plan=Plan())
    for workload in (Workload.LIVE_VIDEO_TO_VIDEO, Workload.BYOC):
        notified.receiver.received.clear()
        notified.later_ms = 0
        sessions = Sessions(notified.store, notified.keys, tick=1, gap=600_000, workload=workload)
        assert await sessions.begin("one", policy, "m") is None

        async def tick(sessions: Sessions = sessions) -> None:
            while True:
                snapshot = await sessions.find(app, "one")
                assert snapshot is not None
                if snapshot.now > snapshot.session.seen_ms:
                    assert await sessions.tick(snapshot, policy)
                    break
            await notified.archive.advance()
            for _ in range(2):
                await notified.round()

        await tick()
        await tick()
        assert [content["type"] for _, content in notified.receiver.received] == ["stream.started"]
        [started] = notified.receiver.of_kind("stream.started")
        assert (started["workload"], started["user"], started["model"]) == (workload, "ann", "m")
        notified.later_ms = MINUTE_MS
        for _ in range(2):
            await notified.round()
        assert [content["type"] for _, content in notified.receiver.received[1:]] == ["stream.idle"]
        await sessions.end(app, "one")
        await notified.archive.advance()
        for _ in range(4):
            await notified.round()
        assert [content["type"] for _, content in notified.receiver.received[2:]] == ["stream.ended"]
        [ended] = notified.receiver.of_kind("stream.ended")
        assert ended["session_id"] == started["session_id"]


async def test_a_pool_that_is_down_is_told_of_to_the_operator_alone_and_again_when_it_is_back(
    notified: Notified,
) -> None:
    app = await notified.app("unlimited")
    operator = (await notified.endpoint(OPERATOR)).webhook_id
    tenant = (await notified.endpoint(app, kinds=KINDS)).webhook_id
    notified.receiver.secrets.clear()  # two endpoints at one receiver
    for healthy in (True, False, False, True, True, False):
        notified.health[GATEWAY] = healthy
        notified.later_ms += 1_000
        await notified.round()
    kinds = [content["type"] for _, content in notified.receiver.received]
    assert kinds == ["pool.down", "pool.up", "pool.down"]
    assert notified.receiver.of_kind("pool.down")[0]["gateways"] == [GATEWAY]
    assert len(set(notified.receiver.ids)) == 3
    assert (await notified.service.deliveries(app, tenant, None, 10))[0] == []
    assert len((await notified.service.deliveries(OPERATOR, operator, None, 10))[0]) == 3
