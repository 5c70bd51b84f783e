"""Hazard: a key spends more than it may, as what a person has charged for its orphans counts in no limit of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.admission.key_limits import KeyLimits, KeyTerms
from middlewares.ledger.model import Admitted, Denied
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.resolution.resolve import EventDecision, resolve
from middlewares.ledger.settlement.event import DECODER
from proxy.control.records import FAMILIES
from proxy.store.store import Store
from tests.history.beside import verify_in
from tests.ledger.redis_time import HOLD_MS, Clocked
from tests.ledger.test_resolution import Orphans
from tests.ledger.worker_ledger import WorkerLedger

WEI = 10**18
PLAN = Plan.model_validate(
    {
        "billing": "usage",
        "on_orphan": "attention",
        "limits": {"key": {"caps": [{"unit": "amount", "per": "month", "max": 10 * WEI}]}},
        "prices": [{"unit": "pixels", "amount": WEI}],
    }
)
LIMITS = KeyLimits(spend_per_day=str(4 * WEI), spend_per_month=str(4 * WEI), spend_total=str(4 * WEI))


@pytest.mark.parametrize("plan", [PLAN, None], ids=["plan in force", "plan of another version"])
async def test_what_is_charged_by_a_decision_counts_in_the_limits_of_its_key(
    store: Store, worker_ledger: WorkerLedger, clocked: Clocked, tmp_path: Path, plan: Plan | None
) -> None:
    redis: Any = store.redis
    await redis.flushdb()
    case = Orphans(store, worker_ledger, clocked)
    family, key = f"key_{case.app}_first", f"key_{case.app}_rotated"
    await redis.hset(FAMILIES, key, family)
    terms = KeyTerms(family, LIMITS)
    policy = worker_ledger.ledger.policy(case.app, None, key, "plan", PLAN, terms=terms)
    hold = await worker_ledger.hold(policy, {Unit.PIXELS: 3})
    clocked.now_ms += HOLD_MS
    await case._reaper.sweep()
    [(_, fields)] = await redis.xrange(case.keys.shared(case.keys.tag(case.app)).events)
    event = DECODER.decode(fields[b"event"])
    decided = EventDecision(event, "", "charge", int(event.reserved_amount), adjusted=False)
    assert await resolve(clocked, case.keys, plan, decided, terms=terms) == (3 * WEI, False)
    assert (event.id, event.key) == (hold.request_id, key)

    assert isinstance(await worker_ledger.admit(policy, {Unit.PIXELS: 2}), Denied)
    last = await worker_ledger.admit(policy, {Unit.PIXELS: 1})
    assert isinstance(last, Admitted)
    worker_ledger.settle(last.hold, policy, {Unit.PIXELS: 1})
    await worker_ledger.ledger.drain()
    refused = await worker_ledger.admit(policy, {Unit.PIXELS: 1})
    assert isinstance(refused, Denied)
    assert (refused.code, refused.limit_state.remaining) == ("key_limit", 0)
    plans = {"plan": PLAN} if plan else {}
    assert (await verify_in(tmp_path, store.redis, RedisKeys(1, cluster=False), plans))[0] == []
