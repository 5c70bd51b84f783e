"""One settlement that Redis refuses for good must not stop the others behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.periods import day_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.journal import JournalRecord
from middlewares.ledger.settlement.journal_replay import empty_journal
from proxy.store.store import Store
from tests.ledger.worker_ledger import WorkerLedger

UNITS = {Unit.OUTPUT_TOKENS: 3}
Spoil = Callable[[WorkerLedger, str], Awaitable[None]]
"""Makes the usage of an app, of this day, something that no settlement can be added to."""


@pytest.fixture
async def spoil(store: Store, keys: RedisKeys) -> AsyncIterator[Spoil]:
    """What it spoils is gone after the test, for other tests read the same Redis."""
    spoilt = []

    async def spoil(worker_ledger: WorkerLedger, app: str) -> None:
        spoilt.append(keys.usage(app, day_of(worker_ledger.ledger.clock.now_ms())))
        await store.redis.set(spoilt[-1], "not a hash")

    yield spoil
    await store.redis.delete(*spoilt)


async def test_a_settlement_that_redis_refuses_is_set_aside(
    store: Store, keys: RedisKeys, spoil: Spoil, tmp_path: Path
) -> None:
    worker_ledger = WorkerLedger(store, keys, tmp_path)
    spoilt, sound = (worker_ledger.policy(str(ULID()), Plan()) for _ in range(2))
    await spoil(worker_ledger, spoilt.app)
    refused = await worker_ledger.request(spoilt, UNITS)
    assert [reason.partition(":")[0] for reason in worker_ledger.reports.losses] == [refused]
    assert worker_ledger.reports.journal == 0, "what can never be written does not wait in the journal"
    assert await _events(store, keys, spoilt.app) <= 1, "it was written again"
    await worker_ledger.request(sound, UNITS)
    assert len(worker_ledger.reports.losses) == 1
    worker_ledger.ledger.close()


async def test_a_refused_record_does_not_block_the_journal(
    store: Store, keys: RedisKeys, spoil: Spoil, tmp_path: Path
) -> None:
    worker_ledger = WorkerLedger(store, keys, tmp_path)
    spoilt, sound = (worker_ledger.policy(str(ULID()), Plan()) for _ in range(2))
    await spoil(worker_ledger, spoilt.app)
    for policy in (spoilt, sound):
        settlement = worker_ledger.settlement(await worker_ledger.hold(policy, UNITS), policy, UNITS)
        settlement.attempted_ms = settlement.time_ms
        await worker_ledger.ledger.journal.append(JournalRecord(settlement=settlement))
    assert await empty_journal(worker_ledger.ledger.journal, set(), worker_ledger.ledger.settler) == (1, None)
    assert worker_ledger.ledger.journal.size == 0
    assert len(worker_ledger.reports.losses) == 1
    worker_ledger.ledger.close()


async def _events(store: Store, keys: RedisKeys, app: str) -> int:
    redis: Any = store.redis
    return sum(app.encode() in fields[b"event"] for _, fields in await redis.xrange(keys.shared(keys.tag(app)).events))
