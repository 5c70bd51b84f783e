"""Hazard: durability must not hang on whoever counts and logs. An observer that does nothing loses no record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.periods import day_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER
from middlewares.ledger.settlement.journal import JournalRecord, frame, read
from middlewares.ledger.settlement.journal_replay import adopt_journals
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.rejected import RejectedSettlements
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import StoreRejected
from proxy.store.store import Store
from tests.ledger.fakes import UnreliableStore
from tests.ledger.redis_time import HOLD_MS, Clocked
from tests.ledger.worker_ledger import WorkerLedger, never_rejected

UNITS = {Unit.OUTPUT_TOKENS: 3}
POSTPAID = Plan.model_validate(
    {"billing": "usage", "prices": [{"unit": "output_tokens", "amount": 10}], "on_orphan": "estimate"}
)
LOCAL = Plan.model_validate({"on_store_loss": "local", "on_orphan": "estimate"})


class SilentObserver:
    """Does nothing at all."""

    def admitted_locally(self) -> None: ...

    def shadow_refusal(self, policy: str) -> None: ...

    def journaled(self) -> None: ...

    def replayed(self, records: int) -> None: ...

    def rejected(self, settlement: Settlement, error: StoreRejected, kept_in: Path) -> None: ...

    def lost(self, reason: str) -> None: ...


@pytest.fixture
def unreliable(store: Store) -> UnreliableStore:
    return UnreliableStore(store)


@pytest.fixture
async def worker_ledger(unreliable: UnreliableStore, keys: RedisKeys, tmp_path: Path) -> AsyncIterator[WorkerLedger]:
    async with WorkerLedger(unreliable, keys, tmp_path, observer=SilentObserver()) as opened:
        yield opened


async def events_of(store: Store, keys: RedisKeys, app: str) -> list[tuple[str, str]]:
    """Request id and outcome of every event of this app."""
    redis: Any = store.redis
    entries = await redis.xrange(keys.shared(keys.tag(app)).events)
    events = [DECODER.decode(fields[b"event"]) for _, fields in entries]
    return [(event.id, event.outcome) for event in events if event.app == app]


async def spoil(store: Store, keys: RedisKeys, app: str) -> None:
    """Make Redis refuse every settlement of this app for good."""
    await store.redis.set(keys.usage(app, day_of(RedisClock().now_ms())), "not a hash")


def rejected_in(folder: Path) -> list[str]:
    """Ids of the requests in the file of rejected settlements; every line of it is whole."""
    records, corrupt = read((folder / "rejected").read_bytes())
    assert corrupt == b""
    return [record.settlement.hold.request_id for record in records if record.settlement]


def nothing_lost(reason: str) -> None:
    raise AssertionError(reason)


def not_looked_at(_hold: Hold) -> None: ...


@pytest.mark.parametrize("path", ["submitted", "local", "journaled", "adopted"])
async def test_a_rejected_settlement_is_on_disk(
    store: Store, keys: RedisKeys, worker_ledger: WorkerLedger, tmp_path: Path, path: str
) -> None:
    policy = worker_ledger.policy(str(ULID()), POSTPAID)
    await spoil(store, keys, policy.app)
    hold = await worker_ledger.hold(policy, UNITS)
    folder = worker_ledger.ledger.journal.path.parent
    settlement = worker_ledger.settlement(hold, policy, UNITS)
    if path == "submitted":
        worker_ledger.settle(hold, policy, UNITS)
        await worker_ledger.ledger.drain()
    elif path == "local":
        await worker_ledger.ledger.settler.settle(settlement)
    elif path == "journaled":
        await worker_ledger.ledger.journal.append(JournalRecord(settlement=settlement))
        await worker_ledger.replay()
        assert worker_ledger.ledger.journal.size == 0
    else:
        folder = tmp_path / "dead"
        folder.mkdir()
        (folder / "dead.journal").write_bytes(frame(JournalRecord(settlement=settlement)))
        settler = Settler(store, keys, RejectedSettlements(folder, SilentObserver()).keep)
        await adopt_journals(folder, settler, RedisClock())
        assert not (folder / "dead.journal").exists()
    assert rejected_in(folder) == [hold.request_id]


async def test_a_settlement_that_finds_redis_away_is_in_redis_later(
    store: Store, keys: RedisKeys, worker_ledger: WorkerLedger, unreliable: UnreliableStore
) -> None:
    policy = worker_ledger.policy(str(ULID()), POSTPAID)
    hold = await worker_ledger.hold(policy, UNITS)
    unreliable.away = True
    worker_ledger.settle(hold, policy, UNITS)
    await worker_ledger.ledger.drain()
    assert await events_of(store, keys, policy.app) == []
    unreliable.away = False
    await worker_ledger.replay()
    assert await events_of(store, keys, policy.app) == [(hold.request_id, "complete")]


async def test_a_settlement_whose_reply_is_lost_is_in_redis_once(
    store: Store, keys: RedisKeys, worker_ledger: WorkerLedger, unreliable: UnreliableStore
) -> None:
    policy = worker_ledger.policy(str(ULID()), POSTPAID)
    hold = await worker_ledger.hold(policy, UNITS)
    unreliable.deaf = True
    worker_ledger.settle(hold, policy, UNITS)
    await worker_ledger.ledger.drain()
    unreliable.deaf = False
    await worker_ledger.replay()
    assert await events_of(store, keys, policy.app) == [(hold.request_id, "complete")]


async def test_a_request_that_was_admitted_locally_is_in_redis_later(
    store: Store, keys: RedisKeys, worker_ledger: WorkerLedger, unreliable: UnreliableStore
) -> None:
    policy = worker_ledger.policy(str(ULID()), LOCAL)
    unreliable.away = True
    hold = await worker_ledger.hold(policy)
    worker_ledger.settle(hold, policy, UNITS)
    await worker_ledger.ledger.drain()
    unreliable.away = False
    await worker_ledger.replay()
    assert await events_of(store, keys, policy.app) == [(hold.request_id, "complete")]


async def test_what_was_acknowledged_before_a_failover_is_written_again(
    store: Store, keys: RedisKeys, worker_ledger: WorkerLedger
) -> None:
    policy = worker_ledger.policy(str(ULID()), POSTPAID)
    request_id = await worker_ledger.request(policy, UNITS)
    shared = keys.shared(keys.tag(policy.app))
    await store.redis.delete(shared.events)
    await worker_ledger.ledger.after_failover()
    assert await events_of(store, keys, policy.app) == [(request_id, "complete")]


async def test_an_orphan_is_in_redis(store: Store, clocked: Clocked, tmp_path: Path) -> None:
    keys = RedisKeys(1, cluster=False)
    shared = keys.shared(keys.tags[0])
    await store.redis.delete(shared.holds, shared.bodies, shared.events)
    async with WorkerLedger(
        clocked, keys, tmp_path, hold_ttl=HOLD_MS / 1000, observer=SilentObserver()
    ) as worker_ledger:
        policy = worker_ledger.policy(str(ULID()), POSTPAID)
        hold = await worker_ledger.hold(policy, UNITS)
        clocked.now_ms += HOLD_MS
        await Reaper(clocked, keys, Settler(clocked, keys, never_rejected), not_looked_at, nothing_lost).sweep()
    assert await events_of(store, keys, policy.app) == [(hold.request_id, "orphaned")]
    await store.redis.delete(shared.events)


async def test_a_part_of_the_journal_that_cannot_be_read_is_kept_aside(
    store: Store, keys: RedisKeys, worker_ledger: WorkerLedger
) -> None:
    policy = worker_ledger.policy(str(ULID()), POSTPAID)
    settlement = worker_ledger.settlement(await worker_ledger.hold(policy, UNITS), policy, UNITS)
    await worker_ledger.ledger.journal.append(JournalRecord(settlement=settlement))
    path = worker_ledger.ledger.journal.path
    data = path.read_bytes()
    path.write_bytes(b"x" + data[1:])
    await worker_ledger.replay()
    [aside] = path.parent.glob("*.corrupt")
    assert aside.read_bytes() == b"x" + data[1:]
