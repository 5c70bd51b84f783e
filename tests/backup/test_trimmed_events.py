"""A journal of a backup may have records whose events are in the history alone: they are not counted again."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.plans import Plan
from config.settings import Settings
from config.workloads import Unit
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.settlement.journal import JournalRecord, frame
from middlewares.ledger.settlement.journal_replay import adopt_journals
from middlewares.ledger.settlement.settler import Settler
from middlewares.store import StoreUnavailable
from proxy.backup.backup import take
from proxy.backup.restore import restore
from proxy.history.store import History
from proxy.reporting.verify.verification import verify
from proxy.store.configured import claim_fingerprint, open_store, redis_keys
from tests.history.fakes import Archive
from tests.ledger.worker_ledger import WorkerLedger, never_rejected

pytestmark = pytest.mark.ci


PLAN = Plan()


async def back_up(settings: Settings, worker_folder: Path, target: Path) -> list[str]:
    """Back up two settlements that got no reply: one is archived and trimmed, one never arrived. Return their ids."""
    keys = redis_keys(settings)
    async with await open_store(settings) as store:
        await claim_fingerprint(store, settings)
        await store.redis.config_set("stream-node-max-entries", 1)
        history = History.of(settings)
        await history.upgrade()
        archive = Archive(store.redis, keys, history)
        async with WorkerLedger(store, keys, worker_folder) as worker:
            policy = worker.policy("app_one", PLAN)
            both = [worker.settlement(await worker.hold(policy), policy, {Unit.OUTPUT_TOKENS: n}) for n in (1, 2)]
            assert await Settler(store, keys, never_rejected).settle(both[0])
        for each in both:
            each.attempted_ms = each.time_ms
        journals = settings.data_dir / "journal"
        journals.mkdir(exist_ok=True)
        records = [frame(JournalRecord(settlement=each)) for each in both]
        (journals / "01J00000000000000000000000.journal").write_bytes(b"".join(records))
        assert await archive.advance()
        assert await archive.in_redis() == []
        assert await archive.in_history() == [both[0].hold.request_id]
        await take(store.redis, keys, settings, target)  # type: ignore[arg-type]
        await history.close()
    return [each.hold.request_id for each in both]


async def test_a_journal_record_whose_event_is_only_in_the_history_is_not_counted_again(tmp_path: Path) -> None:
    ids = await back_up(Settings(data_dir=tmp_path / "data"), tmp_path / "worker", tmp_path / "backup")
    settings = Settings(data_dir=tmp_path / "new")
    keys, journals = redis_keys(settings), settings.data_dir / "journal"
    await restore(tmp_path / "backup", keys, settings, force=False)
    async with await open_store(settings) as store:
        history = History.of(settings)
        archive = Archive(store.redis, keys, history)
        settler = Settler(store, keys, never_rejected)
        with pytest.raises(StoreUnavailable, match="1 events may be in the history"):
            await adopt_journals(journals, settler, RedisClock())
        assert await archive.advance(), "the restored Redis belongs to the restored history"
        with pytest.raises(StoreUnavailable, match="1 events may be in the history"):  # the other one, now trimmed, too
            await adopt_journals(journals, settler, RedisClock())
        assert list(journals.glob("*.journal")), "kept until the history has said what it has"
        assert await archive.advance()
        await adopt_journals(journals, settler, RedisClock())
        assert not list(journals.glob("*.journal"))
        assert await archive.advance()
        assert sorted(await archive.in_history()) == sorted(ids)
        differences, counts = await verify(archive.sources, {"plan": PLAN})
        assert [each for each in differences if each.what != "hold"] == []
        assert counts.events == 2
        await history.close()
