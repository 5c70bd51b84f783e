"""Hazard: the clock of Redis is set, and requests that reached it in time are refused as if they had come too late."""

from __future__ import annotations

from pathlib import Path

import pytest
from ulid import ULID

from config.plans import Plan
from middlewares.ledger.model import Admitted
from middlewares.ledger.redis_keys import RedisKeys
from tests.ledger.redis_time import Clocked
from tests.ledger.worker_ledger import WorkerLedger

CAPPED = {"app": {"caps": [{"unit": "pixels", "per": "month", "max": 1_000}], "concurrent": 10}}
PLAN = Plan.model_validate({"billing": "usage", "limits": CAPPED, "prices": [{"unit": "pixels", "amount": 1}]})


@pytest.mark.parametrize("step_ms", [2_000, 3_600_000, 40 * 86_400_000, -3_600_000])
async def test_a_clock_that_is_set_refuses_nobody(
    clocked: Clocked, keys: RedisKeys, tmp_path: Path, step_ms: int
) -> None:
    async with WorkerLedger(clocked, keys, tmp_path, deadline=20) as worker:
        policy = worker.policy(f"app_{ULID()}", PLAN)
        before = await worker.admit(policy)
        clocked.now_ms += 20_000 + step_ms if step_ms > 0 else step_ms
        after = [await worker.admit(policy) for _ in range(3)]
        decided = [before, *after]
        assert all(isinstance(each, Admitted) and not each.hold.local for each in decided), decided
        for each in decided:
            assert isinstance(each, Admitted)
            worker.ledger.release(each.hold)
