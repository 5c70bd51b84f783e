"""Hazard: a body that is large or late. It is read once the limits have admitted its request, and not before."""

from __future__ import annotations

import pytest
from starlette.types import Receive, Scope, Send

from config.plans import Plan
from config.workloads import Unit
from middlewares.exchange import Declaration, Exchange, Refusal
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.rate_limit.middleware import RateLimitMiddleware
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger
from tests.rate_limit.test_admission import PIXELS, exchange_of, passes, refused

ONE_AT_ONCE = Plan.model_validate({"limits": {"app": {"requests_per_minute": 3, "concurrent": 1}}})


def late(plan: Plan, refusal: Refusal | None = None) -> tuple[Exchange, list[str]]:
    """Return a request with a large body, and what happens to it; `refusal`: what its body leads to."""
    exchange = exchange_of("text-to-image", plan)
    exchange.declares_late = True
    read: list[str] = []

    async def declare() -> Declaration:
        read.append("body")
        if refusal is not None:
            raise refusal
        return PIXELS

    exchange.declare = declare
    return exchange, read


async def leases(store: Store) -> int:
    return sum([await store.redis.zcard(name) for name in await store.redis.keys("*lease*")])


async def test_a_refused_request_has_no_byte_of_its_body_read(worker: WorkerLedger) -> None:
    plan = Plan.model_validate({"limits": {"app": {"requests_per_minute": 1}}})
    assert await passes(worker.ledger, exchange_of("text-to-image", plan))
    exchange, read = late(plan)
    refusal = await refused(worker.ledger, exchange)
    assert (refusal.code, refusal.close, read) == ("rate_limited", True, [])


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ({"billing": "credits", "prices": [{"unit": "pixels", "amount": 7}]}, "insufficient_balance"),
        ({"limits": {"app": {"caps": [{"unit": "requests", "per": "day", "max": 1}]}}}, "plan_limit"),
    ],
)
async def test_where_nothing_is_left_the_body_is_not_read(
    worker: WorkerLedger, plan: dict[str, object], code: str
) -> None:
    rules = Plan.model_validate(plan)
    if code == "plan_limit":
        assert await passes(worker.ledger, exchange_of("text-to-image", rules))
    exchange, read = late(rules)
    assert ((await refused(worker.ledger, exchange)).code, read) == (code, [])


async def test_the_body_is_read_inside_its_slot_which_ends_with_the_request(worker: WorkerLedger, store: Store) -> None:
    exchange, read = late(ONE_AT_ONCE)
    held: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        other, untouched = late(ONE_AT_ONCE)
        assert (await refused(worker.ledger, other)).code == "concurrency_limited"
        assert untouched == []
        held.append(await leases(store))

    scope = {"type": "http", "tollgate.exchange": exchange}
    await RateLimitMiddleware(app, ledger=worker.ledger)(scope, None, None)  # type: ignore[arg-type]
    await worker.ledger.drain()
    assert (read, held, await leases(store)) == (["body"], [1], 0)
    states = [(state.policy, state.remaining) for state in exchange.limit_states]
    assert states == [("app-requests-per-minute", 2), ("app-concurrent", 0)]


async def test_what_the_body_leads_to_gives_the_slot_back_and_has_counted(worker: WorkerLedger, store: Store) -> None:
    for _ in range(3):
        exchange, _ = late(ONE_AT_ONCE, Refusal(400, "malformed_json", "No."))
        assert (await refused(worker.ledger, exchange)).code == "malformed_json"
        await worker.ledger.drain()
        assert await leases(store) == 0
    exchange, read = late(ONE_AT_ONCE)
    assert ((await refused(worker.ledger, exchange)).code, read) == ("rate_limited", [])


async def test_caps_and_balance_are_one_decision_after_the_body(
    worker: WorkerLedger, store: Store, keys: RedisKeys
) -> None:
    """Of two caps the second refuses: nothing of the first stays reserved, and the slot is free again."""
    caps = [{"unit": "requests", "per": "day", "max": 5}, {"unit": "pixels", "per": "day", "max": 1_000}]
    plan = Plan.model_validate({"limits": {"app": {"concurrent": 1, "caps": caps}}})
    exchange, _ = late(plan)
    assert await passes(worker.ledger, exchange)
    assert exchange.hold is not None
    assert exchange.hold.units == {Unit.REQUESTS: 1, **PIXELS.units}
    await worker.ledger.drain()
    other, read = late(plan)
    refusal = await refused(worker.ledger, other)
    assert (refusal.code, refusal.members["policy"], read) == ("plan_limit", "app-pixels-per-day", ["body"])
    await worker.ledger.drain()
    assert await leases(store) == 0
    assert await store.redis.zrange(keys.shared(keys.tags[0]).holds, 0, -1) == [exchange.request_id.encode()]
    held = [await store.redis.hget(name, "held") for name in await store.redis.keys("*cap*requests*")]
    assert held == [b"1"]


async def test_a_shadow_limit_is_counted_once(worker: WorkerLedger) -> None:
    caps = [{"unit": "pixels", "per": "day", "max": 1, "shadow": True}]
    plan = Plan.model_validate({"limits": {"app": {"caps": caps}}})
    exchange, _ = late(plan)
    assert await passes(worker.ledger, exchange)
    assert worker.reports.shadow == ["app-pixels-per-day"]


async def test_a_prepaid_request_is_refused_before_its_body_while_redis_is_lost(worker: WorkerLedger) -> None:
    plan = Plan.model_validate({"billing": "credits", "prices": [{"unit": "pixels", "amount": 7}]})
    exchange, read = late(plan)
    exchange.store_lost = True
    assert ((await refused(worker.ledger, exchange)).code, read) == ("store_unavailable", [])


async def test_a_free_request_goes_on_while_redis_is_lost_and_leaves_no_slot(worker: WorkerLedger) -> None:
    for _ in range(2):
        exchange, read = late(ONE_AT_ONCE)
        exchange.store_lost = True
        assert await passes(worker.ledger, exchange)
        assert exchange.hold is not None
        assert exchange.hold.local
        assert read == ["body"]
