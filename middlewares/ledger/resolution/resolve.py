"""Writes decisions about events: the charge is adjusted exactly once, and totals stay those of the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config.plans import Plan
from config.workloads import SaleUnit
from middlewares.ledger.admission.event_policy import policy_of_event
from middlewares.ledger.admission.key_limits import KeyTerms
from middlewares.ledger.periods import day_of, period_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import BALANCE, RESOLVE
from middlewares.ledger.settlement.event import ENCODER, Event
from middlewares.ledger.settlement.settle_call import totals_of
from middlewares.store import Call, ScriptRunner

NO_PLAN = Plan()
"""Stands for a plan that is not in force any more: the key's own limits count all the same."""
SUFFIX = "-resolution"
"""What follows the id of an event in the id of the adjustment that a decision about it writes."""


class SettledMeanwhile(Exception):
    """The late settlement of the request has come since its events were read."""


class DecidedOtherwise(Exception):
    """Another decision about the event was made before."""


@dataclass(frozen=True, slots=True)
class EventDecision:
    """A decision about one event."""

    event: Event
    wallet: str
    """Wallet that the event was paid from, `app` or `user`; empty: none."""
    decision: str
    """Word of the decision, which is also the outcome of its adjustment."""
    amount: int
    """What it adds to the charge, in atomic units."""
    adjusted: bool
    """True: the event has an adjustment already, so that no late settlement can come."""
    note: str = ""


async def resolve(
    runner: ScriptRunner, keys: RedisKeys, plan: Plan | None, decided: EventDecision, *, terms: KeyTerms | None = None
) -> tuple[int, bool]:
    """Write a decision. Return what it has added to the charge, and True if it was made before.

    `plan` is the one that priced the event, in that very version; None: it is not in force any more, and what it had
    counted in caps of money stays. `terms` are those that the event's key has now; None: there is no such key. Raises
    `DecidedOtherwise`, `SettledMeanwhile` and `StoreError`.
    """
    event = decided.event
    now = (await runner.run(Call(BALANCE, (keys.wallet(event.app),))))[0]
    written = Event(
        id=event.id + SUFFIX,
        time=now,
        started=event.started,
        app=event.app,
        user=event.user,
        key=event.key,
        plan=event.plan,
        workload=event.workload,
        model=event.model,
        outcome=decided.decision,
        type="adjustment",
        part=event.part,
        fallback=event.fallback,
        requested_model=event.requested_model,
        reference=event.id,
        note=decided.note,
    )
    counted = [*_caps(keys, event, plan, terms, now), *_wallet(keys, decided)]
    late = event.outcome == "orphaned" and not decided.adjusted
    head = totals_of(event.user, event.key, event.workload, event.model)
    call = Call(
        RESOLVE,
        (
            keys.resolutions(event.app),
            keys.marker(event.app, event.id),
            keys.shared(keys.tag(event.app)).events,
            keys.usage(event.app, day_of(now)),
            *(key for key, _ in counted),
        ),
        (
            event.id,
            decided.decision,
            str(decided.amount),
            ENCODER.encode(written),
            int(late),
            head,
            decided.wallet,
            *(field for _, field in counted),
        ),
    )
    reply = await runner.run(call)
    if reply[0] == 1:
        return decided.amount, False
    if reply[0] == -1:
        raise SettledMeanwhile
    before, amount = parse(reply[1])
    if before != decided.decision:
        raise DecidedOtherwise(f"the decision about {event.id} was made before, and is final: {before}")
    return amount, True


def parse(text: bytes) -> tuple[str, int]:
    """Return word and amount of a decision, as Redis has it."""
    decision, _, amount = text.decode().partition(" ")
    return decision, int(amount)


def _wallet(keys: RedisKeys, decided: EventDecision) -> Sequence[tuple[str, str]]:
    event = decided.event
    if not decided.wallet:
        return ()
    return ((keys.wallet(event.app, event.user if decided.wallet == "user" else None), "spent"),)


def _caps(
    keys: RedisKeys, event: Event, plan: Plan | None, terms: KeyTerms | None, now: int
) -> Sequence[tuple[str, str]]:
    """Return the counts of money caps, by key and field, in the period of the decision."""
    name = event.plan.rpartition("@")[0]
    _, entries = policy_of_event(keys, event, name, plan or NO_PLAN, terms).reserve({}, 0, ())
    return [
        (entry.keys[0], f"used:{period_of(entry.kind, now)}")
        for entry in entries
        if entry.kind in "dmt" and entry.unit == SaleUnit.AMOUNT
    ]
