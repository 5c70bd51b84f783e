"""Usage recorded by the ledger in Redis, for tests of what reads it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry
from ulid import ULID

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Admitted, Provenance, Usage
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import Event
from proxy.control.apps import Apps
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.reporting.dates import EVER, Days
from proxy.reporting.stream import AppEvents, RecordedEvent
from proxy.server.ledger_metrics import LedgerObserver
from proxy.store.store import Store

TAGS = 16
ALWAYS = EVER

UNLIMITED = Plan(tier="premium")


class RecordedUsage:
    """A store with a ledger, as in one worker, and methods that record usage."""

    def __init__(self, store: Store, data_dir: Path, *, cluster: bool = False) -> None:
        self.store = store
        self.keys = RedisKeys(TAGS, cluster=cluster)
        self.history = History.at(f"sqlite:///{data_dir}/history.sqlite")
        self.sources = LedgerSources(store.redis, self.keys, self.history)
        self.ledger = Ledger(
            store,
            self.keys,
            data_dir=data_dir,
            hold_ttl=60,
            deadline=30,
            workers=1,
            journal_bytes=1 << 20,
            replay_window=30,
            observer=LedgerObserver(CollectorRegistry()),
        )
        self._numbers = itertools.count()

    async def app(self, name: str = "acme", plan: str = "unlimited") -> str:
        """Create an app and return its client id."""
        record, _ = await Apps(self.store.redis, None).create(name, plan)
        return record.client_id

    async def request(
        self,
        app: str,
        *,
        user: str | None = None,
        key: str | None = None,
        plan: Plan = UNLIMITED,
        plan_name: str = "unlimited",
        workload: Workload = Workload.TEXT_TO_IMAGE,
        model: str = "m/one",
        units: Mapping[Unit, int] | None = None,
        amount: int = 0,
        at: datetime | None = None,
        outcome: str = "complete",
        drain: bool = True,
    ) -> str:
        """Record one request from admission to settlement, which ends at `at` (else now), and return its id."""
        policy = self.ledger.policy(app, user, key, plan_name, plan)
        admitted = await self.ledger.admit(str(ULID()), policy, workload=workload, model=model, units={})
        assert isinstance(admitted, Admitted), admitted
        hold = admitted.hold
        used = {Unit.REQUESTS: 1, **(units or {})}
        event = Event(
            id=hold.request_id,
            time=milliseconds(at) if at else max(hold.started_ms, self.ledger.clock.now_ms()),
            started=hold.started_ms,
            app=app,
            user=user,
            key=key,
            plan=policy.plan_id,
            workload=workload,
            model=model,
            outcome=outcome,
            units=used,
            provenance=dict.fromkeys(used, Provenance.MEASURED),
            status=200,
        )
        self.ledger.settle(hold, event, Usage(used), amount)
        if drain:
            await self.ledger.drain()
        return hold.request_id

    async def requests(self, app: str, count: int) -> list[str]:
        """Record `count` requests, one after the other, and return their ids."""
        made = [
            await self.request(app, units={Unit.PIXELS: next(self._numbers)}, amount=1, drain=False)
            for _ in range(count)
        ]
        await self.ledger.drain()
        return made

    def events(self, app: str, days: Days = ALWAYS) -> AsyncGenerator[RecordedEvent, None]:
        """Return an app's events of these days."""
        return AppEvents(self.sources, app).read(days)

    def streams(self) -> list[str]:
        """Return the names of the streams of all hash tags."""
        return [self.keys.shared(tag).events for tag in self.keys.tags]


def utc(text: str) -> datetime:
    """Return the moment that is written in ISO 8601, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Return the Unix milliseconds of a moment."""
    return round(moment.timestamp() * 1000)
