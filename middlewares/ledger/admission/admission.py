"""Opens holds: by the admission script in Redis, or by this worker's share of the limits while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import structs

from config.workloads import Unit, Workload
from middlewares.ledger.admission.local_limits import LocalLimits
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import (
    ENTRY_SUFFIX,
    Admitted,
    ClaimLost,
    Denied,
    Hold,
    HoldEntry,
    LedgerUnavailable,
    LimitState,
)
from middlewares.ledger.observer import Observer
from middlewares.ledger.scripts import ADMIT
from middlewares.ledger.settlement.event import ENCODER
from middlewares.ledger.settlement.journal import Journal, JournalFull, JournalRecord
from middlewares.ledger.shares.share_admission import ShareAdmission
from middlewares.store import Call, ScriptRunner, SharedArguments, StoreError, StoreUnavailable

DISK_PART = 5
"""An admission without Redis has such a part of the deadline for the disk, even where Redis has taken all of it."""
LATE_MS = 1_000
"""How late a busy worker may send an admission; one that reaches Redis even later was given up for certain."""


_CLAIM_LOST = -2
"""How a reply of `lua/admit.lua` begins if another request has the claim."""


class Admission:
    """Admits or denies the requests of one worker."""

    def __init__(
        self,
        runner: ScriptRunner,
        *,
        clock: RedisClock,
        local_limits: LocalLimits,
        journal: Journal,
        observer: Observer,
        on_admitted: Callable[[Hold], None],
        release: Callable[[Hold], None],
        hold_ttl: float,
        deadline: float,
        share_admission: ShareAdmission | None,
    ) -> None:
        """`on_admitted` is called with each hold opened, `release` must end one that nobody will use.

        `hold_ttl` and `deadline`, that of Redis, are in seconds. `share_admission`, if any, is asked before Redis is.
        """
        self._runner = runner
        self._clock = clock
        self._local_limits = local_limits
        self._journal = journal
        self._observer = observer
        self._on_admitted = on_admitted
        self._release = release
        self._ttl_ms = int(hold_ttl * 1000)
        self._deadline = deadline
        self._share_admission = share_admission

    async def admit(
        self,
        request_id: str,
        policy: Policy,
        *,
        workload: Workload,
        model: str,
        units: Mapping[Unit, int],
        claim: HoldEntry | None,
        store_lost: bool,
        fallback: tuple[str, str],
        may_share: bool,
    ) -> Admitted | Denied:
        """As `Ledger.admit`."""
        prices = policy.prices(workload, model)
        upper_bound = {Unit.REQUESTS: 1, **units}
        amount = policy.estimate(prices, upper_bound) if prices else 0
        rules, entries = policy.reserve(upper_bound, amount, prices)
        hold = Hold(
            request_id=request_id,
            app=policy.app,
            user=policy.user,
            key=policy.key,
            plan=policy.plan_id,
            workload=workload,
            model=model,
            started_ms=self._clock.now_ms(),
            estimate=str(amount),
            fixed=str(policy.estimate(policy.fixed(prices), upper_bound)) if policy.allowed else "",
            units=upper_bound,
            on_orphan=policy.on_orphan,
            entries=(claim, *entries) if claim else entries,
            fallback=fallback[0],
            requested_model=fallback[1],
        )
        if self._share_admission is not None and may_share and claim is None and not store_lost:
            admitted = await self._share_admission.admit(policy, hold)
            if admitted is not None:
                return admitted
        return await self._open(hold, policy, rules, claim=claim, store_lost=store_lost)

    async def enter(
        self, request_id: str, policy: Policy, workload: Workload, *, store_lost: bool
    ) -> Admitted | Denied:
        """As `Ledger.enter`."""
        rules, entries = policy.reserve({}, 0, ())
        hold = Hold(
            request_id=request_id + ENTRY_SUFFIX,
            app=policy.app,
            user=policy.user,
            key=policy.key,
            plan=policy.plan_id,
            workload=workload,
            model="",
            started_ms=self._clock.now_ms(),
            entries=entries,
            entry=True,
        )
        return await self._open(hold, policy, rules, store_lost=store_lost)

    async def _open(
        self,
        hold: Hold,
        policy: Policy,
        rules: SharedArguments,
        *,
        claim: HoldEntry | None = None,
        store_lost: bool,
    ) -> Admitted | Denied:
        """Open a hold if all `rules` admit it, by Redis or without. Raises `LedgerUnavailable` and `ClaimLost`."""
        started = time.monotonic()
        if store_lost:
            lost = StoreUnavailable("Redis did not reply when the credential was looked up")
            return await self._admit_locally(policy, hold, lost, started)
        latest = hold.started_ms + int(self._deadline * 1000) + LATE_MS if self._clock.known else 0
        args = (hold.request_id, self._ttl_ms, ENCODER.encode(hold), latest)
        keys = claim.keys[:1] if claim else ()
        call = Call(ADMIT, keys, args, policy.admit_keys, rules)
        try:
            reply, sent = await self._runner.run(call, deadline=self._deadline), started
            if reply[0] == -1 and (left := started + self._deadline - time.monotonic()) > 0:
                # it was in time by this machine's clock: that of Redis was set forward
                call = structs.replace(call, args=(*args[:3], reply[1] + int(left * 1000) + LATE_MS))
                reply = await self._runner.run(call, deadline=left)
            while reply[0] == 0 and self._share_admission is not None:
                refused_by = policy.rules[reply[2] - 1]
                if not await self._share_admission.recalled(refused_by, sent, started + self._deadline):
                    break
                sent = time.monotonic()
                reply = await self._runner.run(call, deadline=self._deadline)
        except asyncio.CancelledError:  # nobody is left to forward what may have been admitted
            self._release(hold)
            raise
        except StoreError as error:
            return await self._admit_locally(policy, hold, error, started)
        if reply[0] == -1:
            self._clock.reset_to(reply[1])
            late = StoreUnavailable("the admission reached Redis too late")
            return await self._admit_locally(policy, hold, late, started)
        self._clock.observe(reply[1])
        if reply[0] == _CLAIM_LOST:
            raise ClaimLost
        return self._decision(policy, hold, reply)

    def _decision(self, policy: Policy, hold: Hold, reply: list[Any]) -> Admitted | Denied:
        """Read a reply of `lua/admit.lua`."""
        if reply[0] == 0:
            return policy.denied(reply, hold)
        limit_states = []
        shadow = []
        at = 2
        for limit_spec, factor in policy.limit_specs if reply[1] >= policy.raised_until else policy.raised_specs:
            remaining = int(reply[at]) // factor if factor else reply[at]
            limit_states.append(LimitState(limit_spec, remaining, (reply[at + 1] + 999) // 1000))
            if reply[at + 2]:
                shadow.append(limit_spec.policy)
                self._observer.shadow_refusal(limit_spec.policy)
            at += 3
        self._on_admitted(hold)
        return Admitted(hold, tuple(limit_states), tuple(shadow))

    async def _admit_locally(self, policy: Policy, hold: Hold, error: StoreError, started: float) -> Admitted | Denied:
        """Decide without Redis, and write the hold to the journal. Raises `LedgerUnavailable`."""
        refuses = policy.refuses_without_store or hold.has_claim  # nobody else would know that the key is taken
        denied = None if refuses else self._local_limits.admit(policy, hold.request_id)
        if refuses or denied:
            if error.may_have_run:
                self._release(hold)
            if denied:
                return structs.replace(denied, hold=structs.replace(hold, local=True))
            raise LedgerUnavailable from error
        hold.local = True
        self._on_admitted(hold)
        left = self._deadline - (time.monotonic() - started)
        try:
            async with asyncio.timeout(max(left, self._deadline / DISK_PART)):
                await self._journal.append(JournalRecord(hold=hold))
        except asyncio.CancelledError:
            self._release(hold)
            raise
        except (JournalFull, OSError) as failure:  # a timeout is an OSError, too
            self._release(hold)
            raise LedgerUnavailable from failure
        self._observer.admitted_locally()
        return Admitted(hold, ())
