"""Hazard: the disk of a machine vanishes with its workers, and nobody learns that requests have left no trace."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.plans import Plan
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.settlement.journal_replay import adopt_journals
from middlewares.ledger.settlement.reaper import Reaper
from middlewares.ledger.settlement.settler import Settler
from proxy.store.store import Store
from tests.ledger.group.conftest import GroupWorker, Open, make_busy, new_app, plan_of
from tests.ledger.group.test_group_commit import die, log_of
from tests.ledger.worker_ledger import never_rejected
from tests.support.deployment import eventually

pytestmark = pytest.mark.ci

LIMITS: list[dict[str, Any]] = [
    {"requests_per_minute": 10_000},
    {"concurrent": 1_000},
    {"caps": [{"unit": "requests", "per": "month", "max": 10_000}]},
]
EVERY = pytest.mark.parametrize("limits", LIMITS, ids=["window", "concurrency", "cap"])


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What goes on beside a worker, or once it has died, and what it reports as lost."""

    redis: Any
    worker: GroupWorker
    losses: list[str]
    reaper: Reaper
    settler: Settler

    async def ended(self) -> bool:
        """End what has expired; return True once nothing is held any more."""
        await self.reaper.sweep()
        keys = self.worker.keys
        return not any([await self.redis.zcard(keys.shared(tag).holds) for tag in keys.tags])


def upkeep_of(redis: Store, worker: GroupWorker) -> Upkeep:
    losses: list[str] = []
    settler = Settler(redis, worker.keys, never_rejected)
    reaper = Reaper(redis, worker.keys, settler, lambda _: None, losses.append)
    return Upkeep(redis.redis, worker, losses, reaper, settler)


@asynccontextmanager
async def dead_worker(redis: Store, folder: Path, plan: Plan) -> AsyncIterator[Upkeep]:
    """A worker that died with a share and requests that it ran. Nothing else holds anything in this Redis."""
    await redis.redis.flushdb()
    worker = await GroupWorker(redis, folder, hold_ttl=1).__aenter__()
    await make_busy(worker, worker.policy(new_app(), plan))
    await die(worker)
    yield upkeep_of(redis, worker)


@EVERY
async def test_a_share_whose_worker_is_gone_with_its_disk_is_reported(
    redis: Store, tmp_path: Path, limits: dict[str, Any]
) -> None:
    async with dead_worker(redis, tmp_path, plan_of(**limits)) as upkeep:
        shutil.rmtree(tmp_path / "journal")
        await eventually(upkeep.ended)
        [loss] = upkeep.losses
        assert f"{log_of(upkeep.worker).incarnation}.journal" in loss
        assert "was never returned" in loss


@EVERY
async def test_a_share_whose_log_is_read_is_no_loss(redis: Store, tmp_path: Path, limits: dict[str, Any]) -> None:
    async with dead_worker(redis, tmp_path, plan_of(**limits)) as upkeep:
        await adopt_journals(tmp_path / "journal", upkeep.settler, RedisClock())
        await eventually(upkeep.ended)
        assert upkeep.losses == []


async def test_a_worker_that_has_returned_its_shares_leaves_nothing_to_report(redis: Store, tmp_path: Path) -> None:
    client: Any = redis.redis
    await client.flushdb()
    async with GroupWorker(redis, tmp_path, hold_ttl=1) as worker:
        policy = worker.policy(new_app(), plan_of(requests_per_minute=10_000))
        admitted = await make_busy(worker, policy)
        shared = worker.keys.shared(worker.keys.tag(policy.app))
        names = await client.zrange(shared.holds, 0, -1)
        assert sum(name.startswith(b"share-") for name in names) == 1
        for each in admitted:
            worker.ledger.release(each.hold)
    assert not await client.zcard(shared.holds)
    assert not await client.hlen(shared.bodies)
    assert not list((tmp_path / "journal").iterdir())


async def test_a_share_of_a_living_worker_is_no_loss(group_workers: Open, redis: Store) -> None:
    """As where Redis was away for so long that it expired, or has lost that it was returned."""
    client: Any = redis.redis
    async with group_workers(hold_ttl=60) as [worker]:
        policy = worker.policy(new_app(), plan_of(requests_per_minute=10_000))
        await make_busy(worker, policy)
        shared = worker.keys.shared(worker.keys.tag(policy.app))
        upkeep = upkeep_of(redis, worker)

        async def ended() -> bool:
            for name in await client.zrange(shared.holds, 0, -1):
                await client.zadd(shared.holds, {name: 1})
            return await upkeep.reaper.sweep() > 0

        await eventually(ended)
        assert upkeep.losses == []


async def test_a_worker_that_could_not_return_its_shares_leaves_a_log_that_is_found(
    redis: Store, tmp_path: Path
) -> None:
    await redis.redis.flushdb()
    worker = await GroupWorker(redis, tmp_path, hold_ttl=1).__aenter__()
    admitted = await make_busy(worker, worker.policy(new_app(), plan_of(requests_per_minute=10_000)))
    await worker.stop_upkeep()
    for each in admitted:
        worker.ledger.release(each.hold)
    worker.ledger.close()  # without `drain`, as where Redis is away at the end
    assert len(list((tmp_path / "journal").iterdir())) == 1
    upkeep = upkeep_of(redis, worker)
    await adopt_journals(tmp_path / "journal", upkeep.settler, RedisClock())
    await eventually(upkeep.ended)
    assert upkeep.losses == []
