"""Hazards: a receiver that is down, webhooks that overtake each other, a row that is sent for ever, or twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from middlewares.auth.records import RecordRef
from proxy.control.apps import Apps
from proxy.control.erasure import SubjectRecords
from proxy.control.records import UnknownRecord
from proxy.control.webhook_endpoints import MOST_OLD_SECRETS
from proxy.history.retention.erasure import erase
from proxy.history.tables import OUTBOX
from proxy.reporting.dates import EVER
from proxy.reporting.subject import subject_lines
from proxy.webhooks.notifications import outbox
from proxy.webhooks.notifications.attempts import Delivery, DeliveryState, SendOutcome
from proxy.webhooks.notifications.delivery import DAY_MS, PAUSES_MS, settled
from proxy.webhooks.notifications.notification import Notification, NotificationKind
from proxy.webhooks.notifications.service import UnusableWebhook
from tests.webhooks.notifications.conftest import Notified

APP = "app_aaaaaaaaaaaaaaaa"
MINUTE_MS = 60_000
KINDS = (NotificationKind.KEY_REVOKED,)
"""What endpoints take here, so that nothing is found for them: the month may end while a test turns the clock."""


def notification(number: int) -> Notification:
    return Notification(NotificationKind.KEY_REVOKED, APP, (str(number),), {"number": number})


async def tell(notified: Notified, endpoint: str, *numbers: int, owner: str = APP) -> int:
    found = [(endpoint, replace(notification(number), owner=owner)) for number in numbers]
    return await notified.history.write(outbox.enqueue, found, await notified.now())


async def states(notified: Notified, endpoint: str) -> list[str]:
    found, _ = await notified.service.deliveries(APP, endpoint, None, 100)
    return [each.state for each in reversed(found)]


@pytest.mark.slow
async def test_a_receiver_that_is_down_for_an_hour_gets_everything_afterwards_in_order(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    other = (await notified.endpoint("app_bbbbbbbbbbbbbbbb", kinds=KINDS)).webhook_id
    notified.receiver.secrets.clear()  # two endpoints at one receiver
    notified.receiver.status = 503
    for minute in range(0, 60, 3):
        await tell(notified, endpoint, minute, minute + 1, minute + 2)
        await notified.round()
        notified.later_ms += 3 * MINUTE_MS
    attempts = len(notified.receiver.refused)
    assert set(notified.receiver.refused) == {notification(0).id}, "one overtook the first"
    assert 4 <= attempts <= 8
    notified.receiver.status = 200
    await tell(notified, other, 1_000)  # one that waits does not hold up another endpoint
    await notified.round()
    assert notification(1_000).id in notified.receiver.ids
    notified.later_ms += PAUSES_MS[-1] * 2
    await notified.round()
    taken = [each for each in notified.receiver.ids if each != notification(1_000).id]
    assert taken == [notification(minute).id for minute in range(60)]
    assert await states(notified, endpoint) == ["delivered"] * 60
    await notified.round()
    assert len(notified.receiver.received) == 61
    print(f"60 webhooks in order after an hour of 503, {attempts} attempts meanwhile")


@pytest.mark.ci
@pytest.mark.sampled(2)
async def test_a_webhook_fails_after_a_day_and_is_replayed_by_hand_under_its_id(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    notified.receiver.status = 500
    await tell(notified, endpoint, 1)
    for _ in range(30):
        await notified.round()
        notified.later_ms += PAUSES_MS[-1]
    assert await states(notified, endpoint) == ["failed"]
    tried = len(notified.receiver.refused)
    assert 15 <= tried <= 30
    await notified.round()
    assert len(notified.receiver.refused) == tried
    notified.receiver.status = 200
    await notified.service.replay(APP, endpoint, notification(1).id)
    await notified.round()
    assert notified.receiver.ids == [notification(1).id]
    [found], _ = await notified.service.deliveries(APP, endpoint, None, 100)
    assert (found.state, found.attempts, found.status, found.error) == (DeliveryState.DELIVERED, 1, 200, "")
    with pytest.raises(UnknownRecord):
        await notified.service.replay(APP, endpoint, notification(2).id)


async def test_the_same_found_again_is_sent_once(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    assert await tell(notified, endpoint, 1, 1) == 1
    await notified.round()
    assert await tell(notified, endpoint, 1, 2) == 1
    await notified.round()
    assert notified.receiver.ids == [notification(1).id, notification(2).id]


async def test_both_secrets_sign_during_a_rotation_and_only_the_new_one_without_overlap(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    old = notified.receiver.secrets[0]
    _, new = await notified.service.rotate_secret(APP, endpoint, timedelta(hours=1))
    assert new.startswith("whsec_")
    notified.receiver.secrets.append(new)
    await tell(notified, endpoint, 1)
    await notified.round()  # the receiver verifies by both
    assert notified.receiver.signatures == [2]
    assert len(notified.receiver.received) == 1
    _, newest = await notified.service.rotate_secret(APP, endpoint, timedelta(0))
    notified.receiver.secrets[:] = [newest]
    await tell(notified, endpoint, 2)
    await notified.round()
    assert notified.receiver.signatures == [2, 1]
    document = await notified.store.redis.get(f"tollgate:webhook:{{{endpoint}}}")
    assert document is not None
    assert not any(secret.removeprefix("whsec_").encode() in document for secret in (old, new, newest))


async def test_an_endpoint_that_is_rotated_again_and_again_signs_with_few_secrets(notified: Notified) -> None:
    """Hazard: a header of signatures that grows past what receivers take."""
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    made = [(await notified.service.rotate_secret(APP, endpoint, timedelta(hours=1)))[1] for _ in range(9)]
    notified.receiver.secrets[:] = made[-MOST_OLD_SECRETS - 1 :]
    await tell(notified, endpoint, 1)
    await notified.round()
    assert notified.receiver.signatures == [MOST_OLD_SECRETS + 1]
    assert len(notified.receiver.received) == 1


async def test_what_a_paused_endpoint_is_told_waits_and_what_a_removed_one_is_told_goes(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    await tell(notified, endpoint, 1)
    await notified.service.change(APP, endpoint, {"status": "paused"})
    await notified.round()
    assert notified.receiver.connections == 0
    await notified.service.change(APP, endpoint, {"status": "active"})
    await notified.round()
    assert notified.receiver.ids == [notification(1).id]
    await tell(notified, endpoint, 2)
    await notified.service.remove(APP, endpoint)
    await notified.endpoint(APP, kinds=KINDS)
    await notified.round()
    assert notified.receiver.ids == [notification(1).id]
    with pytest.raises(UnknownRecord) as missing:
        await notified.service.get(APP, endpoint)
    assert missing.value.ref == RecordRef("webhook", endpoint)


async def test_endpoints_that_are_registered_at_once_are_no_more_than_there_may_be(notified: Notified) -> None:
    created = (notified.service.create(APP, notified.receiver.url) for _ in range(40))
    refused = [each for each in await asyncio.gather(*created, return_exceptions=True) if isinstance(each, Exception)]
    registered = await notified.service.all(APP)
    assert (len(registered) + len(refused), {type(each) for each in refused}) == (40, {UnusableWebhook})
    assert len(registered) <= notified.settings.notifications.endpoints
    while len(registered) < notified.settings.notifications.endpoints:
        registered.append((await notified.service.create(APP, notified.receiver.url))[0])
    with pytest.raises(UnusableWebhook):
        await notified.service.create(APP, notified.receiver.url)


async def test_a_receiver_that_is_gone_is_left_alone_until_it_is_resumed(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    notified.receiver.status = 410
    await tell(notified, endpoint, 1, 2)
    for _ in range(2):
        await notified.round()
    assert await states(notified, endpoint) == ["failed", "pending"]
    assert (await notified.service.get(APP, endpoint)).status == "paused"
    assert notified.receiver.refused == [notification(1).id]
    notified.receiver.status = 200
    await notified.service.change(APP, endpoint, {"status": "active"})
    await notified.round()
    assert notified.receiver.ids == [notification(2).id]


async def test_an_endpoint_is_another_apps_business_no_more_than_its_records(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    for foreign in (
        notified.service.get("app_bbbbbbbbbbbbbbbb", endpoint),
        notified.service.remove("app_bbbbbbbbbbbbbbbb", endpoint),
        notified.service.replay("app_bbbbbbbbbbbbbbbb", endpoint, notification(1).id),
    ):
        with pytest.raises(UnknownRecord):
            await foreign


async def test_what_is_old_is_pruned_and_what_may_be_found_again_stays_as_told(notified: Notified) -> None:
    endpoint = (await notified.endpoint(APP, kinds=KINDS)).webhook_id
    lasting = Notification(NotificationKind.KEY_OLD, APP, ("key",), {})
    await notified.history.write(
        outbox.enqueue, [(endpoint, lasting), (endpoint, notification(1))], await notified.now()
    )
    await notified.round()
    assert len(notified.receiver.received) == 2
    notified.later_ms = 200 * DAY_MS
    await notified.round()
    [left], _ = await notified.service.deliveries(APP, endpoint, None, 100)
    assert (left.id, left.body) == (lasting.id, "")
    assert await notified.history.write(outbox.enqueue, [(endpoint, lasting)], await notified.now()) == 0
    with pytest.raises(UnknownRecord):
        await notified.service.replay(APP, endpoint, lasting.id)


async def test_an_export_shows_endpoints_without_secrets_and_an_erasure_leaves_nothing_of_them(
    notified: Notified,
) -> None:
    app = (await Apps(notified.store.redis, None).create("acme", "unlimited"))[0]
    endpoint = (await notified.endpoint(app.client_id, description="canary")).webhook_id
    await tell(notified, endpoint, 1, owner=app.client_id)
    subject = SubjectRecords(app, None, (), ())
    lines = [
        line
        async for line in subject_lines(
            notified.archive.sources, notified.store, subject, EVER, lambda error: pytest.fail(str(error))
        )
    ]
    [shown] = [line for line in lines if line["kind"] == "webhook"]
    assert (shown["url"], "secrets" in shown) == (notified.receiver.url, False)
    await erase(notified.archive.sources, notified.archive.archiver(), subject)
    await notified.round()
    assert notified.receiver.connections == 0
    assert await notified.service.all(app.client_id) == []
    assert await notified.history.read(lambda connection: connection.execute(select(OUTBOX)).all()) == []
    redis: Any = notified.store.redis
    assert [name async for name in redis.scan_iter("*webhook*")] == []


def test_pauses_grow_to_an_hour_and_end_with_the_day() -> None:
    delivery = Delivery(1, "e", "msg", "k", 0, "{}", DeliveryState.PENDING, 0, 0, 0, None, 0, "")
    now, pauses = 0, []
    while delivery.state is DeliveryState.PENDING:
        delivery = settled(delivery, SendOutcome(503, "no"), now)
        if delivery.state is DeliveryState.PENDING:
            pauses.append(delivery.due - now)
            now = delivery.due
    assert tuple(pauses[: len(PAUSES_MS)]) == PAUSES_MS
    assert (now, delivery.state) == (DAY_MS, DeliveryState.FAILED)
    assert settled(delivery, SendOutcome(204), now).state is DeliveryState.DELIVERED
