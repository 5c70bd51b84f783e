"""Live streams on the mock gateway, from their first webhook to their last heartbeat."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from config.plans import Plan
from middlewares.auth.keys import parse_key
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.mock_gateway import MockGateway
from tests.live.assertions import GAP, PER_SECOND, PLANS, TICK, LedgerView
from tests.live.server_fixture import Rig, hooks_of, rig, settings_of
from tests.support.deployment import Customer

PRICE = TICK // 1_000 * PER_SECOND


@pytest.fixture
async def live(ledger_view: LedgerView) -> AsyncIterator[Rig]:
    async with rig(ledger_view, settings_of()) as running:
        yield running


def key_id(customer: Customer) -> str:
    key = parse_key(customer.key.encode())
    assert key is not None
    return key.key_id


@pytest.mark.ci
async def test_sixty_ticks_are_billed_as_three_hundred_seconds(live: Rig) -> None:
    customer = await live.customer()
    assert await live.publish(customer) == 200
    assert live.gateway.live == [f"{customer.app}_cam"]
    for _ in range(60):
        await live.beat()
    assert await live.ledger_view.lived(customer.app) == 300_000
    assert (await live.ledger_view.balance(customer.app)).spent == 300 * PER_SECOND
    assert live.gateway.kicked == []
    await live.ledger_view.check()


@pytest.mark.ci
async def test_a_balance_that_ends_at_tick_thirty_ends_the_stream_there(live: Rig) -> None:
    customer = await live.customer(grant=30 * PRICE)
    await live.publish(customer, parameter="token")
    for number in range(1, 41):
        await live.beat()
        assert live.gateway.kicked == ([] if number < 30 else [f"{customer.app}_cam"])
    assert await live.ledger_view.lived(customer.app) == 150_000
    wallet = await live.ledger_view.balance(customer.app)
    assert (wallet.spent, wallet.held, wallet.available) == (30 * PRICE, 0, 0)
    assert await live.publish(customer) == 403, "and there is nothing left to begin another with"
    await live.ledger_view.check()


@pytest.mark.ci
async def test_two_gateways_a_tick_lost_and_a_tick_twice(live: Rig) -> None:
    customer = await live.customer()
    await live.publish(customer)
    async with MockGateway(hooks=hooks_of(live.origin)) as other:
        for number in range(1, 61):
            await live.beat(after=2 * TICK if number == 20 else TICK, times=2 if number == 40 else 1)
            await other.beat([f"{customer.app}_cam"])
    assert await live.ledger_view.lived(customer.app) == 305_000
    assert len(await live.ledger_view.recorded(customer.app)) == 60
    await live.ledger_view.check()


async def test_a_heartbeat_without_streams_charges_nobody(live: Rig) -> None:
    customer = await live.customer()
    await live.beat()
    response = await live.ask("/webhooks/live/heartbeat", {"ids": None})
    assert (response.status_code, response.json()) == (200, {})
    assert await live.ledger_view.recorded(customer.app) == []


async def test_a_stream_nobody_was_let_in_for_is_ended(live: Rig) -> None:
    customer = await live.customer()
    unknown = [f"{customer.app}_other", "app_aaaaaaaaaaaaaaaa_cam", "cam", ""]
    response = await live.ask("/webhooks/live/heartbeat", {"ids": unknown})
    assert response.json() == {"terminatedStreamIds": unknown[:3]}


async def test_a_revoked_key_ends_the_stream_at_the_next_tick(live: Rig) -> None:
    customer = await live.customer()
    await live.publish(customer)
    await live.beat()
    await ApiKeys(live.ledger_view.store.redis, None).revoke(key_id(customer))
    assert live.gateway.kicked == []
    await live.beat()
    assert live.gateway.kicked == [f"{customer.app}_cam"]
    assert await live.ledger_view.lived(customer.app) == 2 * TICK
    assert await live.ledger_view.holds() == 0
    await live.ledger_view.check()


async def test_a_suspended_app_ends_its_streams_at_the_next_tick(live: Rig) -> None:
    customer, other = await live.customer(), await live.customer()
    await live.publish(customer)
    await live.publish(other, name="theirs")
    await Apps(live.ledger_view.store.redis, None).set_status(customer.app, "suspended")
    await live.beat()
    assert live.gateway.kicked == [f"{customer.app}_cam"]
    assert live.gateway.live == [f"{other.app}_theirs"]
    await live.ledger_view.check()


async def test_a_plan_that_changes_counts_from_the_next_tick(live: Rig) -> None:
    """Each event is priced under the version of the plan that it names."""
    customer = await live.customer("included", grant=0)
    await live.publish(customer)
    await live.beat()
    dearer = Plan.model_validate({"billing": "usage", "prices": [{"unit": "seconds", "amount": 1_000}]})
    await live.webhooks.configure(settings_of().model_copy(update={"plans": PLANS | {"included": dearer}}))
    await live.beat()
    await live.beat()
    recorded = await live.ledger_view.recorded(customer.app)
    versions = [event.plan for event, _ in recorded]
    assert versions[0] == versions[1] != versions[2]
    assert [amount for _, amount in recorded] == [3, 0, 5_000]
    await live.ledger_view.check()


async def test_a_worker_that_restarts_loses_nothing(ledger_view: LedgerView) -> None:
    async with rig(ledger_view, settings_of()) as before:
        customer = await before.customer()
        await before.publish(customer)
        for _ in range(3):
            await before.beat()
    async with rig(ledger_view, settings_of()) as after:
        ledger_view.clocked.now_ms += 2 * TICK
        response = await after.ask("/webhooks/live/heartbeat", {"ids": [f"{customer.app}_cam"]})
        assert response.json() == {}
    assert await ledger_view.lived(customer.app) == 5 * TICK
    await ledger_view.check()


async def test_a_stream_that_is_not_reported_any_more_lets_go_of_its_slot(live: Rig) -> None:
    customer = await live.customer()
    await live.publish(customer)
    await live.beat()
    assert await live.publish(customer, name="second") == 403
    live.gateway.reset()
    live.ledger_view.clocked.now_ms += 2 * GAP
    assert await live.ledger_view.reap() == []
    assert await live.publish(customer, name="second") == 200
    assert await live.ledger_view.lived(customer.app) == TICK
    await live.ledger_view.check()
