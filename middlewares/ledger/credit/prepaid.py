"""Prepaid credits by hand: grant them, take them out, and read what is left in a wallet."""

from __future__ import annotations

import asyncio

from middlewares.ledger.credit.change import Balance, Change, CreditOutcome, TooManyLots, Written, read, write
from middlewares.ledger.credit.lots import PLAIN, LotTerms
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.shares.recall import recall
from middlewares.store import ScriptRunner

__all__ = ["Balance", "InsufficientBalance", "ReferenceTaken", "TooManyLots", "balance", "debit", "grant"]

LONGEST_TEXT = 500
"""Characters of a reference, and of a note."""
RECALLS = 20
"""How often a debit asks again that a wallet refuses because workers have shares of it."""
RECALL_SECONDS = 0.1


class InsufficientBalance(Exception):
    """A debit would take the wallet below zero."""

    audit_code = "insufficient_balance"


class ReferenceTaken(Exception):
    """The reference stands for another change of credits already."""

    audit_code = "reference_taken"


async def grant(
    runner: ScriptRunner,
    keys: RedisKeys,
    app: str,
    user: str | None,
    amount: int,
    *,
    reference: str,
    note: str = "",
    terms: LotTerms = PLAIN,
) -> Balance:
    """Put `amount` atomic units into the wallet of the app, or of one user, who from then on pays from it alone.

    Counted once per app and `reference`, so it is safe to repeat a call whose reply was lost: see
    `Balance.repeated`. Raises `ValueError` for an amount that is not positive, a reference that is empty or too long,
    or credits that have expired already; `ReferenceTaken` for a reference that was used with another wallet, amount or
    other terms; `TooManyLots`, `StoreError`.
    """
    outcome = CreditOutcome.GRANTED
    return await _once(runner, keys, app, user, amount, outcome=outcome, reference=reference, note=note, terms=terms)


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
    outcome = CreditOutcome.DEBITED
    return await _once(runner, keys, app, user, amount, outcome=outcome, reference=reference, note=note, force=force)


async def balance(runner: ScriptRunner, keys: RedisKeys, app: str, user: str | None) -> Balance:
    """Return the wallet of the app, or the own one of a user: all zero where there is none. Raises `StoreError`."""
    return (await read(runner, keys.wallet(app, user)))[1]


async def _once(
    runner: ScriptRunner,
    keys: RedisKeys,
    app: str,
    user: str | None,
    amount: int,
    *,
    outcome: CreditOutcome,
    reference: str,
    note: str,
    force: bool = False,
    terms: LotTerms = PLAIN,
) -> Balance:
    _check(amount, reference, note)
    signed = -amount if outcome is CreditOutcome.DEBITED else amount
    lot = f"/{terms.rank}/{terms.expires_ms}" if terms else ""
    use = f"{signed}{lot} {user or ''}"
    change = Change(app, user, signed, outcome, reference, use, note=note, force=force, terms=terms)
    written = await write(runner, keys, change)
    for _ in range(RECALLS):
        if written.status != Written.INSUFFICIENT or not await _recall(runner, keys.wallet(app, user)):
            break
        written = await write(runner, keys, change)
    if written.status == Written.USED and written.use != change.use:
        raise ReferenceTaken(f"reference {change.reference!r} of {change.app} stands for another change already")
    if written.status == Written.INSUFFICIENT:
        left = written.balance
        raise InsufficientBalance(
            f"{-change.amount} cannot be taken out: {left.available} of {left.granted} are available"
        )
    return written.balance


async def _recall(runner: ScriptRunner, wallet: str) -> bool:
    """Have workers give back what they have reserved of a wallet and do not use; return True if they had any."""
    found = await recall(runner, (wallet,))
    if found:
        await asyncio.sleep(RECALL_SECONDS)
    return bool(found)


def _check(amount: int, reference: str, note: str) -> None:
    if amount <= 0:
        raise ValueError(f"the amount must be a positive number of atomic units, not {amount}")
    if not 0 < len(reference) <= LONGEST_TEXT:
        raise ValueError(f"the reference must have 1 to {LONGEST_TEXT} characters")
    if len(note) > LONGEST_TEXT:
        raise ValueError(f"the note must have at most {LONGEST_TEXT} characters")
