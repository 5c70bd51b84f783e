"""A limit under thousands of parallel requests from several workers admits exactly as many as it says."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from middlewares.ledger.model import Admitted, Denied
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger
from tests.ledger.workers import workers
from tests.store.servers import RedisServer

LIMIT = 100
REQUESTS = 5_000
LIMITS: dict[str, dict[str, Any]] = {
    "concurrency_limited": {"concurrent": LIMIT},
    "rate_limited": {"requests_per_minute": LIMIT},
    "plan_limit": {"caps": [{"unit": "requests", "per": "month", "max": LIMIT}]},
}


async def fire(
    ledgers: list[WorkerLedger], app: str, plan: Plan, number: int
) -> list[tuple[WorkerLedger, Admitted | Denied]]:
    turns = [ledgers[each % len(ledgers)] for each in range(number)]
    return list(
        zip(
            turns,
            await asyncio.gather(*(worker_ledger.admit(worker_ledger.policy(app, plan)) for worker_ledger in turns)),
            strict=True,
        )
    )


@pytest.mark.sampled(3)
@pytest.mark.parametrize("code", LIMITS)
async def test_exactly_the_limit_is_admitted(redis_server: RedisServer, tmp_path: Path, code: str) -> None:
    app = f"app_{ULID()}"
    plan = Plan.model_validate({"limits": {"app": LIMITS[code]}})
    async with workers(redis_server, tmp_path) as ledgers:
        decisions = await fire(ledgers, app, plan, REQUESTS)
        codes = Counter(each.code if isinstance(each, Denied) else "admitted" for _, each in decisions)
        assert codes == {"admitted": LIMIT, code: REQUESTS - LIMIT}


async def test_every_lease_comes_back(redis_server: RedisServer, store: Store, tmp_path: Path) -> None:
    app = f"app_{ULID()}"
    plan = Plan.model_validate({"limits": {"app": {"concurrent": 10}}})
    async with workers(redis_server, tmp_path) as ledgers:
        for turn in range(20):
            decisions = await fire(ledgers, app, plan, 50)
            admitted = [(worker_ledger, each) for worker_ledger, each in decisions if isinstance(each, Admitted)]
            assert len(admitted) == 10
            for worker_ledger, each in admitted:
                if turn % 2:
                    worker_ledger.ledger.release(each.hold)
                else:
                    worker_ledger.settle(each.hold, worker_ledger.policy(app, plan), {})
            for worker_ledger in ledgers:
                await worker_ledger.ledger.drain()
        [key] = ledgers[0].policy(app, plan).rules[0].keys
        assert await store.redis.zcard(key) == 0
