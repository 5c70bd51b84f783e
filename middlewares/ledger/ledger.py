"""The ledger as the stages see it: admit before the gateway is dialled, settle after the last byte."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.ledger.admission.local_limits import LocalLimits
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.admission.pricing import amount_of
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import Admitted, Denied, Hold, LimitState, Settlement, Usage
from middlewares.ledger.observer import Observer
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import ADMIT, RENEW
from middlewares.ledger.settlement.event import ENCODER, Event
from middlewares.ledger.settlement.journal import Journal, JournalFull, Record
from middlewares.ledger.settlement.outbox import Outbox
from middlewares.ledger.settlement.settler import SETTLE_SECONDS, Settler, released
from middlewares.store import Call, ScriptRunner, StoreDeferred, StoreError, StoreUnavailable

REMEMBERED_POLICIES = 100_000
REPLAY_SECONDS = 1.0
DISK_SECONDS = 0.05
"""An admission without Redis waits for the disk at least this long, even where Redis has taken all the time."""
LATE_MS = 1_000
"""How late a busy worker may send an admission; one that reaches Redis even later was given up for certain."""
_REQUESTS = Unit.REQUESTS  # bound once: before Python 3.12, naming a member of an enum costs as much as a call


class LedgerUnavailable(Exception):
    """Redis is away and the plan does not allow a guess: refuse and ask to come back."""


class Ledger:
    """One per worker."""

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
    ) -> None:
        self._runner = runner
        self._keys = keys
        self._ttl_ms = int(hold_ttl * 1000)
        self._deadline = deadline
        self._deadline_ms = int(deadline * 1000)
        self._observer = observer
        self._local = LocalLimits(workers)
        self.clock = RedisClock()
        folder = data_dir / "journal"
        self.journal = Journal(folder, journal_bytes)
        settler = Settler(runner, keys, partial(observer.rejected, folder))
        self.outbox = Outbox(settler, self.journal, observer, self.stop_renewing, replay_window=replay_window)
        self._policies: dict[tuple[str, str | None, str | None, str], Policy] = {}
        self._living: dict[str, tuple[Hold, float]] = {}
        """Holds whose end is not written yet, and when each was admitted or renewed last; oldest first."""

    def policy(self, app: str, user: str | None, key: str | None, name: str, plan: Plan) -> Policy:
        """The compiled rules of a principal."""
        identity = app, user, key, name
        found = self._policies.get(identity)
        if found is None or found.plan is not plan:
            if len(self._policies) >= REMEMBERED_POLICIES:
                self._policies.pop(next(iter(self._policies)))
            found = Policy(self._keys, app=app, user=user, key=key, name=name, plan=plan)
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
        store_lost: bool = False,
    ) -> Coroutine[Any, Any, Admitted | Denied]:
        """Check every limit at once and open a hold; `units` is the upper bound of what the request can use.

        One round trip, and none where the request has waited for Redis in vain already (`store_lost`). Raises
        `LedgerUnavailable` where Redis did not answer in time and the plan forbids a guess.
        """
        began = time.monotonic()
        prices = policy.prices(workload, model)
        upper_bound = {_REQUESTS: 1, **units}
        amount = policy.estimate(prices, upper_bound) if prices else 0
        rules, entries = policy.reserve(upper_bound, amount, prices)
        now = self.clock.now_ms()
        hold = Hold(
            request_id=request_id,
            app=policy.app,
            user=policy.user,
            key=policy.key,
            plan=policy.plan_id,
            workload=workload,
            model=model,
            started_ms=now,
            estimate=str(amount),
            fixed=str(policy.estimate(policy.fixed(prices), upper_bound)) if policy.allowed else "",
            units=upper_bound,
            on_orphan=policy.on_orphan,
            entries=entries,
        )
        if store_lost:
            error = StoreUnavailable("the credential was asked for in vain")
            return self._without_store(policy, hold, error, began)
        latest = now + self._deadline_ms + LATE_MS if self.clock.known else 0
        args = (request_id, self._ttl_ms, ENCODER.encode(hold), latest)
        return self._ask(policy, hold, Call(ADMIT, (), args, policy.admit_keys, rules), began)

    async def _ask(self, policy: Policy, hold: Hold, call: Call, began: float) -> Admitted | Denied:
        reply: Any = asyncio.get_running_loop().create_future()
        try:
            try:
                if not self._runner.begin(call, reply, self._deadline):
                    raise StoreDeferred("it takes a decision")
                reply = await reply
            except StoreDeferred:
                reply = await self._runner.run(call.script, call.all_keys, call.all_args, deadline=self._deadline)
        except asyncio.CancelledError:  # nobody is left to forward what may have been admitted
            self.release(hold)
            raise
        except StoreError as error:
            return await self._without_store(policy, hold, error, began)
        if reply[0] == -1:
            self.clock.reset_to(reply[1])
            return await self._without_store(policy, hold, StoreUnavailable("the admission ran too late"), began)
        self.clock.observe(reply[1])
        return self._decision(policy, hold, reply)

    def _decision(self, policy: Policy, hold: Hold, reply: list[Any]) -> Admitted | Denied:
        if reply[0] == 0:
            return policy.denied(reply)
        limit_states = []
        shadow = []
        at = 2
        for limit_spec, factor in policy.limit_spec:
            remaining = int(reply[at]) // factor if factor else reply[at]
            limit_states.append(LimitState(limit_spec, remaining, (reply[at + 1] + 999) // 1000))
            if reply[at + 2]:
                shadow.append(limit_spec.policy)
                self._observer.shadow_refusal(limit_spec.policy)
            at += 3
        self._living[hold.request_id] = hold, time.monotonic()
        return Admitted(hold, tuple(limit_states), tuple(shadow))

    async def _without_store(self, policy: Policy, hold: Hold, error: StoreError, began: float) -> Admitted | Denied:
        denied = None if policy.refuses_without_store else self._local.admit(policy, hold.request_id)
        if policy.refuses_without_store or denied:
            if error.may_have_run:
                self.release(hold)
            if denied:
                return denied
            raise LedgerUnavailable from error
        hold.local = True
        self._living[hold.request_id] = hold, time.monotonic()
        left = self._deadline - (time.monotonic() - began)
        try:
            async with asyncio.timeout(max(left, DISK_SECONDS)):
                await self.journal.append(Record(hold=hold))
        except asyncio.CancelledError:
            self.release(hold)
            raise
        except (JournalFull, OSError) as failure:  # a timeout is an OSError, too
            self.release(hold)
            raise LedgerUnavailable from failure
        self._observer.admitted_locally()
        return Admitted(hold, ())

    def price(self, policy: Policy, workload: Workload, model: str, units: Mapping[Unit, int]) -> tuple[int, int]:
        """Amount of these units at the plan's prices: all lines, and those that no allowance can change."""
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
            )
        )

    def stop_renewing(self, hold: Hold) -> None:
        """The hold is ended elsewhere: it is not renewed any more."""
        self._living.pop(hold.request_id, None)

    def release(self, hold: Hold) -> None:
        """End a request that never reached the gateway: nothing is counted, no event is written."""
        self._submit(released(hold, self.clock.now_ms()))

    def _submit(self, settlement: Settlement) -> None:
        hold = settlement.hold
        if hold.local:
            self._local.release(_leases(hold), hold.request_id)
        self.outbox.submit(settlement)

    async def after_failover(self) -> None:
        """Another server took over, and may lack what the old one acknowledged last."""
        await self.outbox.after_failover()

    async def run(self) -> None:
        """Renew the holds of long requests and empty the journal, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_every(min(self._ttl_ms / 6000, 1.0), self._renew))
            group.create_task(_every(REPLAY_SECONDS, partial(self.outbox.replay, self._living.keys())))

    async def _renew(self) -> None:
        due = time.monotonic() - self._ttl_ms / 3000
        old = [hold for hold, _ in takewhile(lambda entry: entry[1] < due, self._living.values())]

        async def renew(hold: Hold) -> None:
            keys = [self._keys.shared(self._keys.tag(hold.app)).holds, *_leases(hold)]
            await self._runner.run(RENEW, keys, [hold.request_id, self._ttl_ms], deadline=SETTLE_SECONDS)
            if self._living.pop(hold.request_id, None):
                self._living[hold.request_id] = hold, time.monotonic()

        await gather_bounded(renew, old)

    async def drain(self) -> None:
        """Wait until every settlement is in Redis or in the journal."""
        await self.outbox.drain()

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()


def _leases(hold: Hold) -> tuple[str, ...]:
    return tuple(entry.keys[0] for entry in hold.entries if entry.kind == "c")


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again; a store or a disk that is away is simply asked again."""
    while True:
        await asyncio.sleep(seconds)
        with suppress(StoreError, OSError):
            await work()
