"""Hazard: what a dead worker left is dated by the machine's clock, and counted on another day or in another month."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from config.settings import Settings
from middlewares.ledger import clock
from middlewares.ledger.model import Hold
from middlewares.ledger.settlement.event import DECODER
from middlewares.ledger.settlement.journal import JournalRecord, frame
from proxy.server.ledger_maintenance import LedgerMaintenance
from proxy.store.clients import now_ms
from proxy.store.configured import redis_keys
from tests.ledger.worker_ledger import MODEL, WORKLOAD
from tests.store.servers import RedisServer
from tests.support.redis_fixtures import redis_server

__all__ = ["redis_server"]
AHEAD_MS = 40 * 86_400_000


async def test_orphans_of_a_dead_worker_are_dated_by_redis(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(gateway_url="http://127.0.0.1:1", redis_url=redis_server.url, data_dir=tmp_path)
    folder = tmp_path / "journal"
    folder.mkdir()
    app = f"app_{ULID()}"
    began = time.time_ns() // 1_000_000
    hold = Hold(str(ULID()), app, None, None, "plan@1", WORKLOAD, MODEL, began, on_orphan="refund", local=True)
    (folder / f"{ULID()}.journal").write_bytes(frame(JournalRecord(hold=hold)))
    monkeypatch.setattr(clock, "time_ns", lambda: time.time_ns() + AHEAD_MS * 1_000_000)
    async with LedgerMaintenance.open(settings) as maintenance:
        redis: Any = maintenance.store.redis
        keys = redis_keys(settings)
        [(_, fields)] = await redis.xrange(keys.shared(keys.tag(app)).events)
        event, now = DECODER.decode(fields[b"event"]), await now_ms(redis)
    assert event.id == hold.request_id
    assert now - 3_600_000 < event.time <= now
