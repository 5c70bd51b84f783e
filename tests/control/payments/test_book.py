"""Payments converge: whatever order reports come in, and however often, wallets have what the payments are worth."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from middlewares.ledger.credit.erased import credit_id, erased_id, erased_reference
from middlewares.ledger.credit.prepaid import ReferenceTaken, balance, grant
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER
from proxy.control.apps import Apps
from proxy.control.payments import stripe_events
from proxy.control.payments.book import STRIPE, PaymentBook
from proxy.control.payments.facts import Fact
from proxy.control.records import UnknownRecord
from proxy.store.store import Store
from tests.store.servers import RedisServer
from tests.support import stripe_events as events
from tests.support.examples import examples, new_name
from tests.support.redis_fixtures import redis_server

__all__ = ["redis_server"]

RATE = 10**25 + 7
"""Atomic units for a cent: amounts are far past 64 bits."""
KEYS = RedisKeys(4, cluster=False)


class Shop:
    """A payment book over Redis, and one app."""

    def __init__(self, store: Store, apps: Apps, app: str) -> None:
        self.store, self.app = store, app
        self.book = PaymentBook(store.redis, store, KEYS, apps)

    async def report(self, document: Mapping[str, Any]) -> None:
        event = stripe_events.DECODE(json.dumps(document))
        for payment, fact in stripe_events.facts_of(event, lambda _: RATE):
            await self.book.add(STRIPE, payment, [fact])

    async def cents(self, user: str | None = None) -> int:
        found = await balance(self.store, KEYS, self.app, user)
        cents, rest = divmod(found.available, RATE)
        assert rest == 0
        return cents

    async def changes(self) -> list[tuple[str, int]]:
        redis: Any = self.store.redis
        entries = await redis.xrange(KEYS.shared(KEYS.tag(self.app)).events)
        found = [(DECODER.decode(fields[b"event"]), int(fields[b"amount"]) // RATE) for _, fields in entries]
        mine = [(event, amount) for event, amount in found if event.app == self.app]
        assert len({event.id for event, _ in mine}) == len(mine)
        return [(event.outcome, amount) for event, amount in mine]


@pytest.fixture
async def shop(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Shop]:
    async with await Store.open(redis_server.url, tmp_path, deadline=30, control_timeout=30) as store:
        if names := await store.redis.keys("tollgate:payment:*"):
            await store.redis.delete(*names)
        apps = Apps(store.redis, None)
        app, _ = await apps.create("shop", "unlimited")
        yield Shop(store, apps, app.client_id)


HISTORIES = st.fixed_dictionaries(
    {
        "paid": st.integers(1, 1_000),
        "refunds": st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=3),
        "sums": st.booleans(),
        "dispute": st.sampled_from([None, "open", "won", "lost", "inquiry"]),
        "disputed": st.integers(1, 1_000),
        "copies": st.integers(1, 3),
        "order": st.randoms(use_true_random=False),
        "together": st.integers(1, 4),
    }
)


def reports(intent: str, app: str, history: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Every event of a payment, and how many cents it is worth in the end."""
    found = [events.checkout(intent, app, history["paid"])]
    refunded = 0
    for number, (cents, fails) in enumerate(history["refunds"]):
        found.append(events.refund(intent, f"re_{intent}_{number}", cents))
        if fails:
            found.append(events.refund(intent, f"re_{intent}_{number}", cents, "failed"))
        refunded += 0 if fails else cents
    if history["sums"] and not any(fails for _, fails in history["refunds"]):
        sums = itertools.accumulate(cents for cents, _ in history["refunds"])
        found += [events.charge_refunded(intent, each) for each in sums]
    worth = max(0, history["paid"] - refunded)
    status, cents = history["dispute"], history["disputed"]
    if status == "inquiry":
        found.append(events.dispute(intent, f"dp_{intent}", cents, "warning_needs_response"))
    elif status:
        found.append(events.dispute(intent, f"dp_{intent}", cents))
        found += [events.dispute(intent, f"dp_{intent}", cents, status)] if status != "open" else []
        worth = worth if status == "won" else max(0, worth - cents)
    return found, worth


@pytest.mark.ci
@given(history=HISTORIES)
@settings(max_examples=examples(60, 2_000), deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_order_and_any_number_of_deliveries_come_to_the_same_balance(
    shop: Shop, history: dict[str, Any]
) -> None:
    before = await shop.cents()
    delivered, worth = reports(new_name("pi_"), shop.app, history)
    delivered = delivered * history["copies"]
    history["order"].shuffle(delivered)
    for start in range(0, len(delivered), history["together"]):
        await asyncio.gather(*map(shop.report, delivered[start : start + history["together"]]))
    assert await shop.cents() - before == worth


async def test_each_change_is_an_event_of_its_own(shop: Shop) -> None:
    await shop.report(events.charge_refunded("pi_a", 300))
    assert await shop.changes() == []
    for _ in range(3):
        await shop.report(events.checkout("pi_a", shop.app, 1_000))
        await shop.report(events.dispute("pi_a", "dp_a", 500))
    await shop.report(events.dispute("pi_a", "dp_a", 500, "won"))
    await shop.report(events.dispute("pi_a", "dp_a", 500))
    await shop.report(events.charge_refunded("pi_a", 1_000))
    assert await shop.changes() == [("paid", 700), ("disputed", -500), ("reinstated", 500), ("refunded", -700)]
    assert await shop.cents() == 0


async def test_a_change_of_one_payment_is_not_taken_for_another_payment(shop: Shop) -> None:
    """Hazard: ids such as transaction hash and index. The history has each id once, so that one of the two was lost."""
    for payment, cents in (("order-7", 700), ("order-7-1", 100)):
        await shop.book.add("chain", payment, [Fact("paid", amount=str(cents), app=shop.app, rate=str(RATE))])
    await shop.book.add("chain", "order-7", [Fact("refund", id="r", amount="200")])
    assert await shop.cents() == 600
    assert await shop.changes() == [("paid", 700), ("paid", 100), ("refunded", -200)]


def test_an_erased_change_keeps_its_number() -> None:
    for part, head in ((0, "credit"), (2, "credit.2")):
        erased = f"{head}-app_a-{erased_reference('app_a', 'order-7-1')}"
        assert erased_id(credit_id("app_a", "order-7-1", part)) == erased
        assert erased_id(erased) == erased


async def test_a_dispute_in_another_currency_takes_the_whole_payment(shop: Shop) -> None:
    await shop.report(events.checkout("pi_c", shop.app, 900))
    await shop.report(events.dispute("pi_c", "dp_c", 1, currency="eur"))
    assert await shop.cents() == 0


async def test_a_refund_of_what_is_spent_takes_the_balance_below_zero(shop: Shop) -> None:
    await shop.report(events.checkout("pi_d", shop.app, 900))
    redis: Any = shop.store.redis
    await redis.hset(KEYS.wallet(shop.app), "spent", str(400 * RATE))
    await shop.report(events.charge_refunded("pi_d", 900))
    assert await shop.cents() == -400


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_an_invoice_is_one_payment_with_that_of_its_intent(shop: Shop, order: tuple[int, ...]) -> None:
    delivered = [
        events.invoice_paid("in_1", shop.app, 2_000),
        events.invoice_payment_paid("in_1", "pi_1", 2_000),
        events.charge_refunded("pi_1", 700),
        events.dispute("pi_1", "dp_1", 100, "lost"),
    ]
    for index in order * 2:
        await shop.report(delivered[index])
    assert await shop.cents() == 1_200


async def test_a_user_has_a_wallet_of_its_own(shop: Shop) -> None:
    await shop.report(events.checkout("pi_e", shop.app, 50, user="usr_1"))
    assert (await shop.cents(), await shop.cents("usr_1")) == (0, 50)


async def test_what_is_no_payment_of_tollgate_changes_nothing(shop: Shop) -> None:
    await shop.report(events.event("customer.created", {"id": "cus_1"}))
    await shop.report(events.checkout("pi_f", shop.app, 50, metadata={}))
    await shop.report(events.checkout("pi_f", shop.app, 50, payment_status="unpaid"))
    await shop.report(events.charge_refunded("pi_f", 50))
    assert await shop.changes() == []
    [name] = await shop.store.redis.keys("tollgate:payment:*pi_f")
    assert 0 < await shop.store.redis.pttl(name) <= 30 * 86_400_000
    await shop.report(events.checkout("pi_f", shop.app, 80))
    assert await shop.store.redis.pttl(name) == -1
    assert await shop.cents() == 30


async def test_an_app_that_does_not_exist_and_a_reference_by_hand_are_refused(shop: Shop) -> None:
    with pytest.raises(UnknownRecord):
        await shop.report(events.checkout("pi_g", "app_" + "a" * 16, 50))
    await grant(shop.store, KEYS, shop.app, None, 50 * RATE, reference="pi_h")
    with pytest.raises(ReferenceTaken):
        await shop.report(events.checkout("pi_h", shop.app, 50))
    assert await shop.cents() == 50


async def test_many_deliveries_at_once_pay_once(shop: Shop) -> None:
    delivered = [events.checkout(f"pi_many_{number % 10}", shop.app, 100) for number in range(60)]
    random.Random(7).shuffle(delivered)
    await asyncio.gather(*map(shop.report, delivered))
    assert await shop.changes() == [("paid", 100)] * 10
