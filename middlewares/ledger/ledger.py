"""The ledger as the stages see it: admit before the gateway is dialled, settle after the last byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from config.plans import Plan
from config.runtime import Commit, Fsync
from config.workloads import Unit, Workload
from middlewares.ledger.admission.admission import Admission
from middlewares.ledger.admission.key_limits import KeyTerms
from middlewares.ledger.admission.local_limits import LocalLimits
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.pricing import amount_of
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Admitted, Denied, Hold, HoldEntry, Settlement, Usage, leases_of
from middlewares.ledger.observer import Observer
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import ENCODER, Event
from middlewares.ledger.settlement.hold_renewal import OpenHolds
from middlewares.ledger.settlement.journal import Journal
from middlewares.ledger.settlement.outbox import Outbox
from middlewares.ledger.settlement.rejected import RejectedSettlements
from middlewares.ledger.settlement.settler import Settler, released
from middlewares.ledger.shares.share_admission import ShareAdmission
from middlewares.store import ScriptRunner, StoreError

CACHED_POLICIES = 100_000
REPLAY_SECONDS = 1.0


class Ledger:
    """One worker's ledger: puts the rooms together."""

    def __init__(
        self,
        runner: ScriptRunner,
        keys: RedisKeys,
        *,
        data_dir: Path,
        hold_ttl: float,
        deadline: float,
        workers: int,
        journal_bytes: int,
        replay_window: float,
        observer: Observer,
        clock: RedisClock | None = None,
        commit: Commit = "each",
        fsync: Fsync = "never",
    ) -> None:
        """`hold_ttl`, `deadline` (of an admission) and `replay_window` (see `Outbox`) are in seconds.

        `commit` and `fsync` as of `config.runtime.LedgerSettings`.
        """
        self.clock = clock or RedisClock()
        folder = data_dir / "journal"
        self.journal = Journal(folder, journal_bytes)
        self.settler = Settler(runner, keys, RejectedSettlements(folder, observer).keep)
        self._keys = keys
        self._policies: dict[tuple[str, str | None, str | None, str], Policy] = {}
        self._local_limits = LocalLimits(workers)
        self._open_holds = OpenHolds(runner, keys, hold_ttl)
        self._outbox = Outbox(
            self.settler, self.journal, observer, self._open_holds.discard, replay_window=replay_window
        )
        self.share_admission: ShareAdmission | None = None
        if commit == "group":
            self.share_admission = ShareAdmission(
                runner,
                keys,
                self.clock,
                self.settler,
                self._outbox.remember,
                folder=folder,
                log_bytes=journal_bytes,
                fsync=fsync,
                hold_ttl=hold_ttl,
            )
        self._admission = Admission(
            runner,
            clock=self.clock,
            local_limits=self._local_limits,
            journal=self.journal,
            observer=observer,
            on_admitted=self._open_holds.add,
            release=self.release,
            hold_ttl=hold_ttl,
            deadline=deadline,
            share_admission=self.share_admission,
        )

    def policy(
        self, app: str, user: str | None, key: str | None, name: str, plan: Plan, *, terms: KeyTerms | None = None
    ) -> Policy:
        """Return the compiled rules of a principal under the plan of that name; `terms` are those of its key."""
        identity = app, user, key, name
        found = self._policies.get(identity)
        if found is None or found.plan is not plan or (found.terms is not terms and found.terms != terms):
            if len(self._policies) >= CACHED_POLICIES:
                self._policies.pop(next(iter(self._policies)))
            found = Policy(self._keys, app=app, user=user, key=key, name=name, plan=plan, terms=terms)
            self._policies[identity] = found
        return found

    def admit(
        self,
        request_id: str,
        policy: Policy,
        *,
        workload: Workload,
        model: str,
        units: Mapping[Unit, int],
        claim: HoldEntry | None = None,
        store_lost: bool = False,
        fallback: tuple[str, str] = ("", ""),
        may_share: bool = False,
    ) -> Awaitable[Admitted | Denied]:
        """Check every limit at once and open a hold; `units` is the upper bound of what the request can use.

        The hold takes over the `claim` to an idempotency key. One round trip, and none where the request has waited for
        Redis in vain already (`store_lost`). `fallback`: the policy of the limit in whose stead a fallback serves it,
        and the requested model. `may_share`: its hold is ended by this worker, so that it may be admitted from the
        worker's share of the limits. Raises `LedgerUnavailable` where Redis did not reply in time and the plan, or a
        claim, forbids a guess; `ClaimLost` where the claim is another request's by now.
        """
        return self._admission.admit(
            request_id,
            policy,
            workload=workload,
            model=model,
            units=units,
            claim=claim,
            store_lost=store_lost,
            fallback=fallback,
            may_share=may_share,
        )

    async def enter(
        self, request_id: str, policy: Policy, workload: Workload, *, store_lost: bool = False
    ) -> Admitted | Denied:
        """Ask the limits before the body of a request is read: count it, and take its place of the concurrency.

        Caps and balances must have something left; nothing of them is reserved. The hold is for `release` once the
        request has ended, however it ends. `admit` under `policy.after_body` follows, under the same request id, and
        is one decision about all money; if it refuses, the request has counted, for its body was read. Raises
        `LedgerUnavailable`.
        """
        return await self._admission.enter(request_id, policy.before_body, workload, store_lost=store_lost)

    def price(self, policy: Policy, workload: Workload, model: str, units: Mapping[Unit, int]) -> tuple[int, int]:
        """Return the amount of these units at the plan's prices: all lines, and those that no allowance can change."""
        prices = policy.prices(workload, model)
        gross = amount_of(prices, units)
        return gross, amount_of(policy.fixed(prices), units) if policy.allowed else gross

    def settle(self, hold: Hold, event: Event, usage: Usage, amount: int) -> None:
        """End a forwarded request. Returns at once; the writing happens in the background."""
        self._submit(
            Settlement(
                hold=hold,
                event=msgspec.Raw(ENCODER.encode(event)),
                time_ms=event.time,
                units=usage.units,
                amount=str(amount),
                work_done=any(usage.units.values()),
            )
        )

    def release_leases(self, hold: Hold) -> None:
        """Give back the concurrency leases of a request that is over, though its settlement is not yet known.

        Returns at once. Everything else that the hold reserves stays reserved until `settle`.
        """
        if hold.local:
            self._local_limits.release(leases_of(hold), hold.request_id)
        elif hold.shared and self.share_admission:
            self.share_admission.release_places(hold)
        else:
            self._open_holds.give_back_leases(hold)

    def release(self, hold: Hold) -> None:
        """End a request that never reached the gateway: nothing is counted, no event is written."""
        self._submit(released(hold, self.clock.now_ms()))

    def _submit(self, settlement: Settlement) -> None:
        hold = settlement.hold
        if hold.shared and self.share_admission:
            self.share_admission.end(settlement)
            return
        if hold.local:
            self._local_limits.release(leases_of(hold), hold.request_id)
        self._outbox.submit(settlement)

    def stop_renewing(self, hold: Hold) -> None:
        """Leave the hold to whoever ends it elsewhere."""
        self._open_holds.discard(hold)

    async def after_failover(self) -> None:
        """Write again what a server acknowledged last: another took over, and may lack it."""
        await self._outbox.after_failover()

    async def replay(self) -> None:
        """Write to Redis what is in the journal. Raises `OSError` where the disk fails."""
        await self._outbox.replay(self._open_holds.request_ids)

    async def run(self) -> None:
        """Renew the holds of long requests and empty the journal, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_repeat(self._open_holds.period, self._open_holds.renew))
            group.create_task(_repeat(REPLAY_SECONDS, self.replay))
            if self.share_admission:
                group.create_task(self.share_admission.run())

    async def drain(self) -> None:
        """Wait until every settlement is in Redis or on disk."""
        await self._outbox.drain()
        if self.share_admission:
            await self.share_admission.drain()

    def close(self) -> None:
        """Close what is on disk."""
        self.journal.close()
        if self.share_admission:
            self.share_admission.close()


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` again and again, also after a store or a disk has failed it."""
    while True:
        await asyncio.sleep(seconds)
        with suppress(StoreError, OSError):
            await work()
