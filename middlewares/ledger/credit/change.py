"""One change of a wallet: the only way in which money comes in or goes out by anything but a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ulid import ULID

from middlewares.ledger.credit.erased import credit_id, erased_reference
from middlewares.ledger.credit.lots import PLAIN, Lot, LotTerms, lots_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import BALANCE, CREDIT
from middlewares.ledger.settlement.event import ENCODER, Event
from middlewares.store import Call, ScriptRunner


class CreditOutcome(StrEnum):
    """What a change of credits was; `expired` is written by Redis alone."""

    GRANTED = "granted"
    DEBITED = "debited"
    PAID = "paid"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    REINSTATED = "reinstated"
    EXPIRED = "expired"


class TooManyLots(Exception):
    """The wallet has as many lots as `lua/credit.lua` allows."""

    audit_code = "too_many_lots"


@dataclass(frozen=True, slots=True)
class Balance:
    """State of a wallet, in atomic units."""

    granted: int
    """All that was put in, less what was taken out by hand, taken back by a payment, or has expired."""
    spent: int
    """The price of all requests so far."""
    held: int
    """Reserved for requests that run."""
    repeated: bool = False
    """True: the reference was used before, so nothing was changed."""
    lots: tuple[Lot, ...] = ()
    """Credits that are promotional or expire; only where a wallet was read."""
    exists: bool = field(default=False, compare=False)
    """True: there is a wallet, though it may be empty; only where one was read. A user who has one pays from it."""

    @property
    def available(self) -> int:
        """Return what a request can still reserve; below zero where requests cost more than was reserved for them."""
        return self.granted - self.spent - self.held


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one wallet, which is made if its reference is used as it was read."""

    app: str
    user: str | None
    amount: int
    """In atomic units, negative to take out; 0: only the use of the reference changes."""
    outcome: CreditOutcome
    reference: str
    use: str
    """What the reference is used for from now on; its last word is the user id, or empty."""
    before: str = ""
    """The use that was read; empty: none."""
    part: int = 0
    """Number of the change of this reference, from 0."""
    note: str = ""
    force: bool = False
    """True: the wallet may go below zero."""
    terms: LotTerms = PLAIN


class Written:
    """Reply of `lua/credit.lua`."""

    DONE, USED, INSUFFICIENT, TOO_MANY_LOTS, TOO_LATE = 1, 0, -1, -2, -3

    def __init__(self, reply: Sequence[Any]) -> None:
        self.status: int = reply[0]
        self.use = reply[1].decode() if self.status == self.USED else ""
        """For what the reference is used otherwise."""
        self.balance = balance_of(reply[-3:], repeated=self.status == self.USED)


async def read(runner: ScriptRunner, wallet: str) -> tuple[int, Balance]:
    """Return Redis time in Unix milliseconds, and the wallet of that key. Raises `StoreError`."""
    now, *numbers, lots, exists = await runner.run(Call(BALANCE, (wallet,)))
    found = balance_of(numbers)
    return now, Balance(found.granted, found.spent, found.held, lots=lots_of(lots, now), exists=bool(exists))


async def write(runner: ScriptRunner, keys: RedisKeys, change: Change) -> Written:
    """Make a change. Raises `TooManyLots`; `ValueError` for credits that have expired already; `StoreError`."""
    app, tag, terms = change.app, keys.tag(change.app), change.terms
    wallet = keys.wallet(app, change.user)
    now, _ = await read(runner, wallet)
    lot = str(ULID()) if terms else ""
    event = Event(
        id=credit_id(app, change.reference, change.part),
        time=now,
        started=now,
        app=app,
        user=change.user,
        key=None,
        plan="",
        workload=None,
        model="",
        outcome=change.outcome,
        type="credit",
        reference=change.reference,
        note=change.note,
        lot=lot,
    )
    call = Call(
        CREDIT,
        (wallet, keys.references(app), keys.shared(tag).events, keys.expiring(tag)),
        (
            str(change.amount),
            change.reference,
            change.use,
            ENCODER.encode(event),
            "user" if change.user else "app",
            int(change.force),
            erased_reference(app, change.reference),
            change.before,
            f"{lot},{terms.rank},{terms.expires_ms}" if lot else "",
        ),
    )
    written = Written(await runner.run(call))
    if written.status == Written.TOO_MANY_LOTS:
        raise TooManyLots("the wallet has too many credits that are promotional or expire; wait until some are spent")
    if written.status == Written.TOO_LATE:
        raise ValueError("the credits must expire in the future")
    return written


def balance_of(numbers: Sequence[bytes], *, repeated: bool = False) -> Balance:
    """Return the wallet of these three numbers of a script."""
    granted, spent, held = map(int, numbers)
    return Balance(granted, spent, held, repeated)
