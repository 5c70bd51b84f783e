"""A worker's ledger with nothing around it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec
from ulid import ULID

from config.plans import Plan
from config.runtime import Commit, Fsync
from config.workloads import Unit, Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Admitted, Denied, Hold, Provenance, Settlement, Usage
from middlewares.ledger.observer import Observer
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import ENCODER, Event
from middlewares.store import ScriptRunner, StoreRejected

WORKLOAD = Workload.LLM
MODEL = "meta/llama|8b%"


class Reports:
    """What a ledger reports of itself, as it happens."""

    def __init__(self) -> None:
        self.local = 0
        self.shadow: list[str] = []
        self.journal = 0
        self.replays = 0
        self.losses: list[str] = []

    def admitted_locally(self) -> None:
        self.local += 1

    def shadow_refusal(self, policy: str) -> None:
        self.shadow.append(policy)

    def journaled(self) -> None:
        self.journal += 1

    def replayed(self, records: int) -> None:
        self.replays += records

    def rejected(self, settlement: Settlement, error: StoreRejected, kept_in: Path) -> None:
        self.losses.append(f"{settlement.hold.request_id}: {error}")

    def lost(self, reason: str) -> None:
        self.losses.append(reason)


class WorkerLedger:
    """One worker: admits by plan, settles by units."""

    def __init__(
        self,
        runner: ScriptRunner,
        keys: RedisKeys,
        data_dir: Path,
        *,
        hold_ttl: float = 60,
        deadline: float = 30,
        workers: int = 1,
        journal_bytes: int = 1 << 24,
        replay_window: float = 30,
        clock: RedisClock | None = None,
        observer: Observer | None = None,
        commit: Commit = "each",
        fsync: Fsync = "never",
    ) -> None:
        self.keys = keys
        self.may_share = commit == "group"
        self.reports = Reports()
        self.ledger = Ledger(
            runner,
            keys,
            data_dir=data_dir,
            hold_ttl=hold_ttl,
            deadline=deadline,
            workers=workers,
            journal_bytes=journal_bytes,
            replay_window=replay_window,
            observer=observer or self.reports,
            clock=clock,
            commit=commit,
            fsync=fsync,
        )

    def policy(self, app: str, plan: Plan, *, user: str | None = None, key: str | None = None) -> Policy:
        return self.ledger.policy(app, user, key, "plan", plan)

    async def admit(self, policy: Policy, units: Mapping[Unit, int] | None = None) -> Admitted | Denied:
        return await self.ledger.admit(
            str(ULID()), policy, workload=WORKLOAD, model=MODEL, units=units or {}, may_share=self.may_share
        )

    async def hold(self, policy: Policy, units: Mapping[Unit, int] | None = None) -> Hold:
        """Return the hold of a request that must be admitted."""
        decision = await self.admit(policy, units)
        assert isinstance(decision, Admitted), decision
        return decision.hold

    def settle(self, hold: Hold, policy: Policy, units: Mapping[Unit, int], *, at: int | None = None) -> None:
        """End a request that has used these units, at Redis time `at` (else now)."""
        used = {Unit.REQUESTS: 1, **units}
        _, amount = self.ledger.price(policy, hold.workload, hold.model, used)
        self.ledger.settle(hold, event_of(hold, used, at or self.ledger.clock.now_ms()), Usage(used), amount)

    def settlement(self, hold: Hold, policy: Policy, units: Mapping[Unit, int]) -> Settlement:
        """The end of a request now, as the ledger makes it of `settle`."""
        used = {Unit.REQUESTS: 1, **units}
        now = self.ledger.clock.now_ms()
        event = msgspec.Raw(ENCODER.encode(event_of(hold, used, now)))
        amount = str(self.ledger.price(policy, hold.workload, hold.model, used)[1])
        return Settlement(hold=hold, event=event, time_ms=now, units=used, amount=amount)

    async def request(
        self,
        policy: Policy,
        units: Mapping[Unit, int],
        bound: Mapping[Unit, int] | None = None,
        *,
        at: int | None = None,
    ) -> str:
        """One request from beginning to end; its id."""
        hold = await self.hold(policy, bound)
        self.settle(hold, policy, units, at=at)
        await self.ledger.drain()
        return hold.request_id

    async def replay(self) -> None:
        """Empty the journal, as the upkeep does from time to time."""
        await self.ledger.replay()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ledger.drain()
        self.ledger.close()


def event_of(hold: Hold, units: Mapping[Unit, int], time_ms: int) -> Event:
    """The event of a request that went well."""
    return Event(
        id=hold.request_id,
        time=time_ms,
        started=hold.started_ms,
        app=hold.app,
        user=hold.user,
        key=hold.key,
        plan=hold.plan,
        workload=hold.workload,
        model=hold.model,
        outcome="complete",
        units=dict(units),
        provenance=dict.fromkeys(units, Provenance.MEASURED),
        status=200,
    )


def never_rejected(settlement: Settlement, error: StoreRejected) -> None:
    """For settlers whose calls Redis must always take."""
    raise AssertionError(settlement.hold.request_id) from error
