"""Payments in the ledger: what a payment is worth now, put into a wallet or taken back, once for each change of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from middlewares.ledger.credit.change import Balance, Change, CreditOutcome, Written, write
from middlewares.ledger.credit.prepaid import ReferenceTaken
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import ScriptRunner

_USE = re.compile(r"(\d+)/(\d+)/(\d+)/(\d+) ([^ ]*)")
"""What a reference is used for that is a payment: paid, refunded, disputed, number of changes, user."""


@dataclass(frozen=True, slots=True)
class PaymentState:
    """A payment as its provider has reported it so far, in atomic units."""

    paid: int
    refunded: int = 0
    disputed: int = 0
    """Taken back by disputes that are open or lost."""

    @property
    def worth(self) -> int:
        """Return the credits that it is worth; a payment is never worth less than nothing."""
        return max(0, self.paid - self.refunded - self.disputed)


NOTHING = PaymentState(0)


@dataclass(frozen=True, slots=True)
class PaymentChange:
    """How a payment has changed its wallet."""

    amount: int
    """In atomic units; below zero: taken back. 0: its wallet had it already."""
    balance: Balance


async def record(
    runner: ScriptRunner,
    keys: RedisKeys,
    app: str,
    user: str | None,
    *,
    reference: str,
    state: Callable[[], Awaitable[PaymentState]],
) -> PaymentChange:
    """Let a wallet have what the payment of that reference is worth, whatever it was worth before.

    `state` reads the payment; it is asked again where another report of it came in between, so that the last report
    counts in whatever order they come. A refund may take the balance below zero. Raises `ReferenceTaken` where the
    reference stands for a change by hand or another wallet; `StoreError`.
    """
    before = ""
    while True:
        known, part = _parse(before, reference, user)
        now = await state()
        amount = now.worth - known.worth
        change = Change(
            app=app,
            user=user,
            amount=amount,
            outcome=_outcome(known, now),
            reference=reference,
            use=f"{now.paid}/{now.refunded}/{now.disputed}/{part + (amount != 0)} {user or ''}",
            before=before,
            part=part,
            force=True,
        )
        written = await write(runner, keys, change)
        if written.status == Written.DONE:
            return PaymentChange(amount, written.balance)
        before = written.use


def _parse(use: str, reference: str, user: str | None) -> tuple[PaymentState, int]:
    if not use:
        return NOTHING, 0
    match = _USE.fullmatch(use)
    if match is None or match[5] != (user or ""):
        raise ReferenceTaken(f"reference {reference!r} stands for another change already")
    paid, refunded, disputed, part = map(int, match.groups()[:4])
    return PaymentState(paid, refunded, disputed), part


def _outcome(before: PaymentState, now: PaymentState) -> CreditOutcome:
    if now.worth >= before.worth:
        return CreditOutcome.PAID if now.paid > before.paid else CreditOutcome.REINSTATED
    return CreditOutcome.DISPUTED if now.disputed > before.disputed else CreditOutcome.REFUNDED
