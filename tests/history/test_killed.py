"""`kill -9` of archiver, Redis and database at random moments: each event is once in history and stream."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from config.plans import Plan
from config.workloads import Unit
from middlewares.ledger.model import Admitted, LedgerUnavailable
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import StoreError
from proxy.history import queries
from proxy.history.batch import Entry
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.stream import AppEvents
from proxy.reporting.verify.verification import verify
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive
from tests.history.postgres import Postgres
from tests.ledger.worker_ledger import MODEL, WORKLOAD, WorkerLedger
from tests.reporting.ledger_fixture import ALWAYS
from tests.store.servers import RedisServer, eventually

pytestmark = pytest.mark.ci


PLAN = Plan()


class Campaign:
    """A worker that settles, an archiver, and what they work on."""

    def __init__(self, store: Store, redis: RedisServer, history: History, url: str, folder: Path) -> None:
        self.keys = RedisKeys(TAGS, cluster=False)
        self.archive = Archive(store.redis, self.keys, history)
        self.settled: list[str] = []
        self._store, self._redis, self._url, self._folder = store, redis, url, folder
        self._archiver: asyncio.subprocess.Process | None = None

    async def start_archiver(self) -> None:
        arguments = self._redis.url, self._url, str(self._folder)
        self._archiver = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.history.archiver_run", *arguments, stdout=asyncio.subprocess.DEVNULL
        )

    async def kill_archiver(self) -> None:
        assert self._archiver is not None
        with contextlib.suppress(ProcessLookupError):
            self._archiver.kill()
        await self._archiver.wait()

    async def settle(self, worker: WorkerLedger, count: int) -> None:
        """Run requests through admission and settlement, whether Redis is there or not."""
        for number in range(count):
            policy = worker.policy(f"app_{number % 6}", PLAN, user=f"u{number % 3}")
            with contextlib.suppress(StoreError, LedgerUnavailable):
                request = f"{len(self.settled):08}-{random.getrandbits(32):08x}"
                admitted = await worker.ledger.admit(request, policy, workload=WORKLOAD, model=MODEL, units={})
                if isinstance(admitted, Admitted):
                    worker.settle(admitted.hold, policy, {Unit.OUTPUT_TOKENS: number})
                    self.settled.append(admitted.hold.request_id)

    async def done(self) -> bool:
        """Return True once everything that was settled is archived."""
        with contextlib.suppress(Exception):
            return sorted(await self.archive.in_history()) == sorted(self.settled)
        return False

    async def check(self) -> None:
        """Each id is there once, all totals are right, and no cursor is ahead of its stream."""
        sources = LedgerSources(self._store.redis, self.keys, self.archive.history)
        found: Counter[str] = Counter()
        for app in {f"app_{number}" for number in range(6)}:
            found.update([each.event.id async for each in AppEvents(sources, app).read(ALWAYS)])
        assert found == Counter(self.settled)
        differences, counts = await verify(sources, {"plan": PLAN})
        assert (differences, counts.events) == ([], len(self.settled))
        client: Any = self._store.redis
        for number, cursor in (await self.archive.history.read(queries.cursors)).items():
            stream = self.keys.shared(self.keys.tags[number]).events
            if await client.exists(stream):
                info = await client.xinfo_stream(stream)
                assert cursor.entry <= Entry.parse(info["last-generated-id"])


async def campaign(store: Store, redis: RedisServer, history: History, url: str, folder: Path, **what: Any) -> None:
    """Kill something in each round."""
    postgres: Postgres | None = what["postgres"]
    chance = random.Random(what["seed"])
    run = Campaign(store, redis, history, url, folder)
    await run.start_archiver()
    try:
        async with WorkerLedger(store, run.keys, folder, deadline=1) as worker:
            for _ in range(what["rounds"]):
                working = asyncio.create_task(run.settle(worker, chance.randrange(10, 60)))
                await asyncio.sleep(chance.random() / 3)
                victim = chance.choice(["archiver", "redis", "database"] if postgres else ["archiver", "redis"])
                if victim == "archiver":
                    await run.kill_archiver()
                    await run.start_archiver()
                elif victim == "redis":
                    redis.kill()
                    redis.start()
                elif postgres:
                    await asyncio.to_thread(postgres.kill)
                    await asyncio.to_thread(postgres.start)
                await working
            await worker.ledger.drain()

            async def replayed() -> bool:
                with contextlib.suppress(StoreError):
                    await worker.replay()
                return worker.ledger.journal.size == 0

            await eventually(replayed, within=30)
            await eventually(run.done, within=60)
            assert worker.reports.losses == []
    finally:
        await run.kill_archiver()
    assert len(run.settled) > what["rounds"]
    await run.check()


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
async def test_each_event_is_there_once(
    store: Store,
    redis_server: RedisServer,
    history: History,
    history_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    rounds: int,
) -> None:
    postgres = None if history.dialect == "sqlite" else request.getfixturevalue("postgres")
    options = {"postgres": postgres, "rounds": rounds, "seed": rounds}
    await campaign(store, redis_server, history, history_url, tmp_path, **options)
