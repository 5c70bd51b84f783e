"""Admission while Redis is unavailable: a share of the limits, or 503 where money or caps are at stake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.plans import Plan
from config.workloads import Unit
from middlewares.exchange import Declaration
from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.fakes import UnreliableStore
from tests.ledger.worker_ledger import WorkerLedger
from tests.rate_limit.test_admission import exchange_of, passes, refused

UNCAPPED = {"limits": {"app": {"requests_per_minute": 1}}}
CAPPED = {"limits": {"app": {"caps": [{"unit": "characters", "per": "day", "max": 9}]}}}
PREPAID = {"billing": "credits", "prices": [{"unit": "characters", "amount": 7}]}
SPEECH = Declaration(model="m", units={Unit.CHARACTERS: 1})


@pytest.mark.parametrize(
    "members", [CAPPED, PREPAID, {**UNCAPPED, "on_store_loss": "refuse"}], ids=["capped", "prepaid", "by choice"]
)
async def test_a_plan_that_takes_no_risk_is_refused(
    store: Store, keys: RedisKeys, tmp_path: Path, members: dict[str, Any]
) -> None:
    unreliable = UnreliableStore(store)
    async with WorkerLedger(unreliable, keys, tmp_path) as worker:
        unreliable.away = True
        refusal = await refused(worker.ledger, exchange_of("text-to-speech", Plan.model_validate(members), SPEECH))
        unreliable.away = False
    assert (refusal.status, refusal.code) == (503, "store_unavailable")
    assert refusal.headers == [(b"retry-after", b"2")]
    assert "nothing is charged" in refusal.detail


async def test_any_other_plan_has_its_share_of_the_limits(store: Store, keys: RedisKeys, tmp_path: Path) -> None:
    unreliable = UnreliableStore(store)
    async with WorkerLedger(unreliable, keys, tmp_path) as worker:
        unreliable.away = True
        plan = Plan.model_validate(UNCAPPED)
        exchange = exchange_of("text-to-speech", plan, SPEECH)
        assert await passes(worker.ledger, exchange)
        assert exchange.hold is not None
        assert exchange.hold.local
        assert (await refused(worker.ledger, exchange_of("text-to-speech", plan, SPEECH))).code == "rate_limited"
        unreliable.away = False
        worker.ledger.release(exchange.hold)


async def test_redis_is_not_waited_for_a_second_time(store: Store, keys: RedisKeys, tmp_path: Path) -> None:
    """The credential was looked up in vain: the request is admitted as if Redis did not answer again."""
    async with WorkerLedger(store, keys, tmp_path) as worker:
        exchange = exchange_of("text-to-speech", Plan.model_validate(UNCAPPED), SPEECH)
        exchange.store_lost = True
        assert await passes(worker.ledger, exchange)
        assert exchange.hold is not None
        assert exchange.hold.local
        worker.ledger.release(exchange.hold)
        capped = exchange_of("text-to-speech", Plan.model_validate(CAPPED), SPEECH)
        capped.store_lost = True
        assert (await refused(worker.ledger, capped)).code == "store_unavailable"


async def test_a_fallback_does_not_wait_for_redis_a_second_time(store: Store, keys: RedisKeys, tmp_path: Path) -> None:
    unreliable = UnreliableStore(store)
    fallback = {"workload": "text-to-speech", "model": "small", "limits": {"app": {"requests_per_minute": 1}}}
    plan = Plan.model_validate({**UNCAPPED, "fallbacks": [fallback]})
    async with WorkerLedger(unreliable, keys, tmp_path) as worker:
        unreliable.away = True
        first, second = (exchange_of("text-to-speech", plan, SPEECH) for _ in range(2))
        assert await passes(worker.ledger, first)
        assert await passes(worker.ledger, second)
        assert second.store_lost
        assert second.fallback is not None
        assert second.fallback.denied.limit_state.policy == "app-requests-per-minute"
        assert (await refused(worker.ledger, exchange_of("text-to-speech", plan, SPEECH))).code == "rate_limited"
        unreliable.away = False
        for exchange in (first, second):
            assert exchange.hold is not None
            assert exchange.hold.local
            worker.ledger.release(exchange.hold)
