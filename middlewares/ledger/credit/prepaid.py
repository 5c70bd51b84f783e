"""Prepaid credits: grant them, take them out by hand, and read what is left in a wallet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from middlewares.ledger.credit.erased import erased_reference
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import BALANCE, CREDIT
from middlewares.ledger.settlement.event import ENCODER, Event
from middlewares.store import Call, ScriptRunner

LONGEST_TEXT = 500
"""Characters of a reference, and of a note."""


class InsufficientBalance(Exception):
    """A debit would take the wallet below zero."""

    audit_code = "insufficient_balance"


class ReferenceTaken(Exception):
    """The reference stands for another change of credits already."""

    audit_code = "reference_taken"


@dataclass(frozen=True, slots=True)
class Balance:
    """State of a wallet, in atomic units."""

    granted: int
    """All that was put in, less what was taken out by hand."""
    spent: int
    """The price of all requests so far."""
    held: int
    """Reserved for requests that run."""
    repeated: bool = False
    """True: the reference was used before, so nothing was changed."""

    @property
    def available(self) -> int:
        """Return what a request can still reserve; below zero where requests cost more than was reserved for them."""
        return self.granted - self.spent - self.held


async def grant(
    runner: ScriptRunner, keys: RedisKeys, app: str, user: str | None, amount: int, *, reference: str, note: str = ""
) -> Balance:
    """Put `amount` atomic units into the wallet of the app, or of one user, who from then on pays from it alone.

    Counted once per app and `reference`, so it is safe to repeat a call whose reply was lost: see
    `Balance.repeated`. Raises `ValueError` for an amount that is not positive or a reference that is empty or too
    long, `ReferenceTaken` for one that was used with another wallet or amount, `StoreError`.
    """
    _check(amount, reference, note)
    return await _change(runner, keys, app, user, amount, reference=reference, note=note, force=False)


async def debit(
    runner: ScriptRunner,
    keys: RedisKeys,
    app: str,
    user: str | None,
    amount: int,
    *,
    reference: str,
    note: str = "",
    force: bool = False,
) -> Balance:
    """Take `amount` atomic units (a positive number) out of a wallet: the correction of a grant.

    Raises `InsufficientBalance` where less is available, unless `force` lets the wallet go below zero; else as
    `grant`.
    """
    _check(amount, reference, note)
    return await _change(runner, keys, app, user, -amount, reference=reference, note=note, force=force)


async def balance(runner: ScriptRunner, keys: RedisKeys, app: str, user: str | None) -> Balance:
    """Return the wallet of the app, or the own one of a user: all zero where there is none. Raises `StoreError`."""
    return _balance((await runner.run(Call(BALANCE, (keys.wallet(app, user),))))[1:])


async def _change(
    runner: ScriptRunner,
    keys: RedisKeys,
    app: str,
    user: str | None,
    amount: int,
    *,
    reference: str,
    note: str,
    force: bool,
) -> Balance:
    wallet = keys.wallet(app, user)
    now = (await runner.run(Call(BALANCE, (wallet,))))[0]
    event = Event(
        id=f"credit-{app}-{reference}",
        time=now,
        started=now,
        app=app,
        user=user,
        key=None,
        plan="",
        workload=None,
        model="",
        outcome="granted" if amount > 0 else "debited",
        type="credit",
        reference=reference,
        note=note,
    )
    use = f"{amount} {user or ''}"
    call = Call(
        CREDIT,
        (wallet, keys.references(app), keys.shared(keys.tag(app)).events),
        (
            str(amount),
            reference,
            use,
            ENCODER.encode(event),
            "user" if user else "app",
            int(force),
            erased_reference(app, reference),
        ),
    )
    reply = await runner.run(call)
    if reply[0] == 1:
        return _balance(reply[1:])
    if reply[0] == 0:
        if reply[1].decode() != use:
            raise ReferenceTaken(f"reference {reference!r} of {app} stands for another amount or wallet already")
        return _balance(reply[2:], repeated=True)
    left = _balance(reply[1:])
    raise InsufficientBalance(f"{-amount} cannot be taken out: {left.available} of {left.granted} are available")


def _balance(numbers: Sequence[bytes], *, repeated: bool = False) -> Balance:
    granted, spent, held = map(int, numbers)
    return Balance(granted, spent, held, repeated)


def _check(amount: int, reference: str, note: str) -> None:
    if amount <= 0:
        raise ValueError(f"the amount must be a positive number of atomic units, not {amount}")
    if not 0 < len(reference) <= LONGEST_TEXT:
        raise ValueError(f"the reference must have 1 to {LONGEST_TEXT} characters")
    if len(note) > LONGEST_TEXT:
        raise ValueError(f"the note must have at most {LONGEST_TEXT} characters")
