"""What providers report of a payment, as a set of facts that only grows. What it is worth is a function of the set.

So reports may come in any order and any number of times, a refund before its payment among them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import msgspec

from middlewares.ledger.credit.payments import PaymentState


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is known of a payment. Amounts are decimal strings of the currency's smallest unit."""

    kind: Literal["paid", "refunded", "refund", "dispute", "part"]
    """`refunded` is the sum of all refunds so far; `part`: this payment pays for another, as one of an invoice does."""
    id: str = ""
    """Id of the refund or dispute; of a part, that of the other payment."""
    amount: str = "0"
    currency: str = ""
    """Upper case; empty: atomic units."""
    undone: bool = False
    """True: the refund has failed, or the dispute was won."""
    app: str = ""
    user: str = ""
    rate: str = "1"
    """Atomic units for the smallest unit of a payment's currency, as it was when it was first reported."""


ENCODE = msgspec.json.Encoder().encode
DECODE = msgspec.json.Decoder(Fact).decode


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment whose owner is known."""

    app: str
    user: str | None
    state: PaymentState


def payment_of(facts: Collection[Fact]) -> Payment | None:
    """Return the payment that these facts make; None as long as nobody has reported that it was made."""
    paid = min((fact for fact in facts if fact.kind == "paid"), key=ENCODE, default=None)
    if paid is None:
        return None
    amount, rate = int(paid.amount), int(paid.rate)
    refunded = min(amount, _refunded(facts))
    disputed = min(amount - refunded, _disputed(facts, paid))
    return Payment(paid.app, paid.user or None, PaymentState(amount * rate, refunded * rate, disputed * rate))


def belongs_to(facts: Collection[Fact]) -> str:
    """Return the id of the payment that this one is a part of; empty: it stands for itself."""
    return min((fact.id for fact in facts if fact.kind == "part"), default="")


def _refunded(facts: Collection[Fact]) -> int:
    """Return the sum of refunds. A failed one is in sums of before its failure, which then do not count."""
    refunds = {fact.id: int(fact.amount) for fact in facts if fact.kind == "refund" and not fact.undone}
    failed = {fact.id for fact in facts if fact.kind == "refund" and fact.undone}
    known = sum(amount for id_, amount in refunds.items() if id_ not in failed)
    sums = [int(fact.amount) for fact in facts if fact.kind == "refunded"]
    return max([known, *([] if failed else sums)])


def _disputed(facts: Collection[Fact], paid: Fact) -> int:
    """Return what disputes have taken. One in another currency, as banks convert, takes the whole payment."""
    won = {fact.id for fact in facts if fact.kind == "dispute" and fact.undone}
    amounts: dict[str, int] = {}
    for fact in facts:
        if fact.kind == "dispute" and fact.id not in won:
            amount = int(fact.amount if fact.currency == paid.currency else paid.amount)
            amounts[fact.id] = max(amount, amounts.get(fact.id, 0))
    return sum(amounts.values())
