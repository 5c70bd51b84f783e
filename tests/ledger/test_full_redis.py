"""Hazard: a full Redis refuses some writes and not others, so that limits half work and the outage comes and goes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from ulid import ULID

from config.limits import Cap, Limit, Limits, ScopedLimits
from config.plans import Billing, Plan
from config.prices import Price
from config.workloads import SaleUnit, Unit
from middlewares.ledger.model import LedgerUnavailable
from middlewares.ledger.redis_keys import RedisKeys
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger
from tests.store.servers import RedisServer, binaries

LIMITS = {
    "window": Limits(requests_per_minute=Limit(max=10)),
    "concurrency": Limits(concurrent=Limit(max=10)),
    "cap": Limits(caps=(Cap(unit=SaleUnit.REQUESTS, per="day", max=10),)),
    "none": Limits(),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(binaries(tmp_path)[0], tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
async def store(server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(server.url, tmp_path, deadline=30, control_timeout=30) as opened:
        yield opened


def set_memory(server: RedisServer, limit: int) -> None:
    assert server.ask("CONFIG", "SET", "maxmemory", str(limit)).startswith("+OK")


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("billing", [Billing.FREE, Billing.CREDITS])
async def test_nothing_is_admitted_by_it_and_no_usage_is_lost(
    store: Store, server: RedisServer, keys: RedisKeys, tmp_path: Path, limit: str, billing: Billing
) -> None:
    prices = (Price(unit=SaleUnit.REQUESTS, amount=1),) if billing is Billing.CREDITS else ()
    plan = Plan(billing=billing, prices=prices, limits=ScopedLimits(app=LIMITS[limit]), on_store_loss="refuse")
    app = str(ULID())
    await store.redis.hset(keys.wallet(app), "granted", "10")
    async with WorkerLedger(store, keys, tmp_path) as worker_ledger:
        policy = worker_ledger.policy(app, plan)
        await worker_ledger.request(policy, {Unit.OUTPUT_TOKENS: 1})
        hold = await worker_ledger.hold(policy)
        set_memory(server, 1)
        for _ in range(3):
            with pytest.raises(LedgerUnavailable):
                await worker_ledger.admit(policy)
        worker_ledger.settle(hold, policy, {Unit.OUTPUT_TOKENS: 1})
        await worker_ledger.ledger.drain()
        assert worker_ledger.reports.journal == 1
        set_memory(server, 0)
        assert await store.redis.xlen(keys.shared(keys.tag(app)).events) == 1
    assert not worker_ledger.reports.losses
