"""A settlement without a reply is written again later: not where its event was archived and trimmed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.history import HistorySettings
from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import StoreUnavailable
from proxy.history.archive.doubts import KEPT_SECONDS
from proxy.reporting.verify.verification import verify
from proxy.store.clients import now_ms
from proxy.store.store import Store
from tests.history.fakes import Archive
from tests.ledger.worker_ledger import WorkerLedger, never_rejected

pytestmark = pytest.mark.ci


async def test_an_event_that_was_trimmed_is_not_counted_again(archive: Archive, store: Store, tmp_path: Path) -> None:
    await archive.client.config_set("stream-node-max-entries", 1)
    plan = Plan()
    async with WorkerLedger(store, archive.keys, tmp_path) as worker:
        policy = worker.policy("app_one", plan)
        settler = Settler(store, archive.keys, never_rejected)
        written, lost = [
            worker.settlement(await worker.hold(policy), policy, {Unit.OUTPUT_TOKENS: number}) for number in (1, 2)
        ]
        assert await settler.settle(written)  # its reply is lost on the way
        lost.hold.request_id += "-never"
        for each in (written, lost):
            each.attempted_ms = each.time_ms
        assert await archive.advance()
        assert await archive.in_redis() == []
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="2 events may be in the history"):
                await settler.settle_again([written, lost])
        assert await archive.advance()
        assert await settler.settle_again([written, lost]) == 1
        assert await settler.settle_again([written]) == 0
        assert 0 < await archive.client.ttl(archive.keys.shared(archive.keys.tag("app_one")).doubts) <= KEPT_SECONDS
    assert await archive.advance()
    assert len(await archive.in_history()) == 2
    differences, counts = await verify(archive.sources, {"plan": plan})
    assert [each for each in differences if each.what != "hold"] == []
    assert counts.events == 2


async def test_an_event_that_a_failover_lost_after_it_was_archived_is_counted_again(
    archive: Archive, store: Store, tmp_path: Path
) -> None:
    """The history has it, but the new server has never had it: its totals lack it, however long ago it was tried."""
    await archive.client.config_set("stream-node-max-entries", 1)
    plan = Plan()
    async with WorkerLedger(store, archive.keys, tmp_path) as worker:
        policy = worker.policy("app_one", plan)
        settler = Settler(store, archive.keys, never_rejected)
        trimmed = worker.settlement(await worker.hold(policy), policy, {Unit.OUTPUT_TOKENS: 1})
        assert await settler.settle(trimmed)
        assert await archive.advance()
        replica = {key: await archive.client.dump(key) for key in await archive.client.keys()}
        moment = await now_ms(archive.client)
        while await now_ms(archive.client) <= moment:  # entries of one millisecond count as trimmed together
            pass
        lost = worker.settlement(await worker.hold(policy), policy, {Unit.OUTPUT_TOKENS: 2})
        assert await settler.settle(lost)
        assert await archive.advance(HistorySettings(keep_in_redis_seconds=3600))
        await archive.client.flushall()
        for key, value in replica.items():
            await archive.client.restore(key, 0, value)
        for each in (trimmed, lost):
            each.attempted_ms = each.time_ms - 3_600_000
        with pytest.raises(StoreUnavailable, match="2 events may be in the history"):
            await settler.settle_again([trimmed, lost])
        assert await archive.advance(), "another server's stream is compared, and all of it trimmed"
        assert await settler.settle_again([trimmed, lost]) == 1
    assert await archive.advance()
    assert sorted(await archive.in_history()) == sorted([trimmed.hold.request_id, lost.hold.request_id])
    differences, counts = await verify(archive.sources, {"plan": plan})
    assert [each for each in differences if each.what != "hold"] == []
    assert counts.events == 2
