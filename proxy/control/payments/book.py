"""Keeps what is reported of payments in Redis, and lets wallets follow.

tollgate:payment:<provider>:<id>   set of facts (JSON); a month is enough for reports that nobody's payment explains
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from middlewares.ledger.credit.payments import PaymentState, record
from middlewares.ledger.redis_keys import PREFIX, RedisKeys
from middlewares.store import ScriptRunner
from proxy.control.apps import Apps
from proxy.control.payments.facts import DECODE, ENCODE, Fact, Payment, belongs_to, payment_of
from proxy.control.records import Client

STRIPE = "stripe"
UNEXPLAINED_MS = 30 * 86_400_000
"""How long reports are kept of payments of which nobody has reported that they were made: they may be others' own."""


@dataclass(frozen=True, slots=True)
class ReportedPayment:
    """What a report has changed."""

    id: str
    """The payment's reference in the ledger."""
    app: str = ""
    """Client id; empty: whose payment it is, or whether it is one of Tollgate at all, is not known yet."""
    user: str | None = None
    amount: int = 0
    """What the wallet has got, in atomic units; below zero: given back."""


class PaymentBook:
    """Takes reports of payments, in any order and however often they come."""

    def __init__(self, client: Client, runner: ScriptRunner, keys: RedisKeys, apps: Apps) -> None:
        self._redis: Any = client
        self._runner = runner
        self._keys = keys
        self._apps = apps

    async def add(self, provider: str, payment: str, facts: Iterable[Fact]) -> ReportedPayment:
        """Keep facts about a payment, and let its wallet have what it is worth now.

        Raises `UnknownRecord` for a payment of an app that does not exist, `ReferenceTaken`, `StoreError`.
        """
        new = list(facts)
        for fact in new:
            if fact.kind == "paid":
                await self._apps.require(fact.app)
        known = await self._add(provider, payment, new)
        while whole := belongs_to(known):
            payment, known = whole, await self._add(provider, whole, [each for each in known if each.kind != "part"])
        found = payment_of(known)
        reference = payment if provider == STRIPE else f"{provider}:{payment}"
        if found is None:
            return ReportedPayment(reference)
        change = await record(
            self._runner,
            self._keys,
            found.app,
            found.user,
            reference=reference,
            state=lambda: self._state(provider, payment, found),
        )
        return ReportedPayment(reference, found.app, found.user, change.amount)

    async def _add(self, provider: str, payment: str, facts: Iterable[Fact]) -> list[Fact]:
        """Add facts, and return all that are known. A payment that was made is kept for ever."""
        name = _name(provider, payment)
        known = await self._facts(name)
        made = any(fact.kind == "paid" for fact in known)  # its rate stays what it was
        if new := [ENCODE(fact) for fact in facts if not (made and fact.kind == "paid")]:
            await self._redis.sadd(name, *new)
        known = await self._facts(name)
        if any(fact.kind in ("paid", "part") for fact in known):
            await self._redis.persist(name)
        else:
            await self._redis.pexpire(name, UNEXPLAINED_MS)
        return known

    async def _state(self, provider: str, payment: str, found: Payment) -> PaymentState:
        return (payment_of(await self._facts(_name(provider, payment))) or found).state

    async def _facts(self, name: str) -> list[Fact]:
        return [DECODE(each) for each in await self._redis.smembers(name)]


def _name(provider: str, payment: str) -> str:
    return f"{PREFIX}payment:{provider}:{payment}"
