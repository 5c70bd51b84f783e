"""Hazard: a request that waited for a lost Redis once, for its credential, waits again for its admission."""

from pathlib import Path

import pytest
from ulid import ULID

from config.limits import Cap, Limits, ScopedLimits
from config.plans import Plan
from config.workloads import SaleUnit
from middlewares.ledger.ledger import LedgerUnavailable
from middlewares.ledger.model import Admitted
from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.worker_ledger import MODEL, WORKLOAD, WorkerLedger

CAPPED = ScopedLimits(app=Limits(caps=(Cap(unit=SaleUnit.REQUESTS, per="day", max=10),)))


async def test_redis_is_not_asked_again(store: Store, keys: RedisKeys, tmp_path: Path) -> None:
    async with WorkerLedger(store, keys, tmp_path) as desk:
        free, capped = (desk.policy(str(ULID()), Plan(limits=limits)) for limits in (ScopedLimits(), CAPPED))
        admitted = await desk.ledger.admit("one", free, workload=WORKLOAD, model=MODEL, units={}, store_lost=True)
        assert isinstance(admitted, Admitted)
        assert admitted.hold.local
        with pytest.raises(LedgerUnavailable):
            await desk.ledger.admit("two", capped, workload=WORKLOAD, model=MODEL, units={}, store_lost=True)
        for policy, request in ((free, "one"), (capped, "two")):
            assert await store.redis.zscore(keys.shared(keys.tag(policy.app)).holds, request) is None
        desk.ledger.release(admitted.hold)
