"""Statements: what an app owes for a period, computed from its events alone.

An event has one amount, although several lines of a price list may have made it. So a line item stands for a
workload, a model and a plan version, with the quantity of each unit beside it and the sum of the events' amounts;
whatever was rounded, was rounded event by event. The line items therefore add up to the events to the last unit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from config.plans import Billing, Plan
from config.workloads import Unit
from proxy.reporting.dates import Days, month_of
from proxy.reporting.totals import Total
from proxy.reporting.wallet import Wallet

if TYPE_CHECKING:
    from proxy.reporting.stream import Recorded


class Kind(StrEnum):
    """What a line is about."""

    FEE = "fee"
    """A subscription: the plan's fee for each user who was active in the month."""
    USAGE = "usage"
    ADJUSTMENT = "adjustment"
    """A correction of what was charged for a request whose gate had died, when its true usage came to light."""


@dataclass(frozen=True, slots=True)
class LineKey:
    """What a line item stands for. A fee has no workload and no model."""

    kind: Kind
    plan: str
    workload: str = ""
    model: str = ""

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Its place in a statement."""
        return tuple(Kind).index(self.kind), self.plan, self.workload, self.model


@dataclass(frozen=True, slots=True)
class Line:
    """One line item; `users` counts them on fees."""

    key: LineKey
    total: Total
    users: int = 0

    def plain(self) -> dict[str, Any]:
        """As it goes into JSON."""
        key = self.key
        head = {"kind": key.kind, "plan": key.plan, "workload": key.workload or None, "model": key.model or None}
        return head | ({"users": self.users} if key.kind is Kind.FEE else {}) | self.total.plain()


@dataclass(frozen=True, slots=True)
class Statement:
    """An app's account of one period."""

    days: Days
    lines: tuple[Line, ...]
    wallets: tuple[tuple[str | None, Wallet], ...]
    """By user; None is the app's own. They say how lines were paid, and are no lines themselves."""
    plans: tuple[str, ...]
    """Plan versions its events were priced under, `<name>@<version>`."""
    events: int
    attention: int
    """Events that their plan wants a person to look at."""
    digest: str
    """SHA-256 (hex) over the ids of the events, sorted and each followed by a line feed."""
    notes: tuple[str, ...]
    """What a reader must know before relying on it."""

    def amount(self, *kinds: Kind) -> int:
        """Sum of the lines of these kinds, of all lines where none is named."""
        return sum(line.total.amount for line in self.lines if not kinds or line.key.kind in kinds)


@dataclass(slots=True)
class Tally:
    """Events on their way into a statement."""

    days: Days
    lines: dict[LineKey, Total] = field(default_factory=dict)
    wallets: dict[str | None, Wallet] = field(default_factory=dict)
    active: dict[str, set[str | None]] = field(default_factory=dict)
    """Users by plan name; None is the app itself."""
    plans: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)
    attention: int = 0

    def add(self, recorded: Recorded) -> None:
        """Count one event: wholly in its period, before it only in the opening balance of a wallet."""
        event = recorded.event
        if recorded.wallet:
            owner = event.user if recorded.wallet == "user" else None
            self.wallets.setdefault(owner, Wallet()).add(recorded, self.days)
        if event.time not in self.days:
            return
        self.ids.append(event.id)
        self.attention += event.attention
        if event.type != "credit":
            self._charge(recorded)

    def _charge(self, recorded: Recorded) -> None:
        event = recorded.event
        kind = Kind(event.type)
        total = self.lines.setdefault(LineKey(kind, event.plan, event.workload or "", event.model), Total())
        total.amount += int(recorded.amount)
        for unit, number in event.units.items():
            if unit is not Unit.REQUESTS:
                total.add(unit, number)
        if kind is Kind.USAGE:
            total.requests += event.part <= 1
            self.active.setdefault(event.plan.rpartition("@")[0], set()).add(event.user)
        self.plans.add(event.plan)

    def statement(self, plans: Mapping[str, Plan], *, over: bool = True) -> Statement:
        """The account, with the fees of `plans` (those in force now) where the period is a whole month.

        `over` says whether the period is.
        """
        lines = [Line(key, total) for key, total in self.lines.items()]
        if self.days == month_of(self.days.first):
            lines += self._fees(plans)
        self.ids.sort()
        return Statement(
            days=self.days,
            lines=tuple(sorted(lines, key=lambda line: line.key.order)),
            wallets=tuple(sorted(self.wallets.items(), key=lambda item: item[0] or "")),
            plans=tuple(sorted(self.plans)),
            events=len(self.ids),
            attention=self.attention,
            digest=hashlib.sha256("".join(f"{each}\n" for each in self.ids).encode()).hexdigest(),
            notes=tuple(self._notes(plans, over=over)),
        )

    def _fees(self, plans: Mapping[str, Plan]) -> list[Line]:
        found = []
        for name, users in self.active.items():
            plan = plans.get(name)
            if plan is not None and plan.billing is Billing.SUBSCRIPTION:
                total = Total(amount=len(users) * plan.fee)
                found.append(Line(LineKey(Kind.FEE, f"{name}@{plan.version}"), total, len(users)))
        return found

    def _notes(self, plans: Mapping[str, Plan], *, over: bool) -> list[str]:
        notes = [] if over else ["the period is not over yet"]
        if repeated := len(self.ids) - len(set(self.ids)):
            notes.append(f"{repeated} events are in the stream twice and charged twice: run `tollgate verify`")
        for seen in sorted(self.plans):
            name, _, version = seen.rpartition("@")
            plan = plans.get(name)
            if plan is None:
                notes.append(f"plan {name} is not configured any more: if it had a fee, the fee is missing")
            elif plan.billing is Billing.SUBSCRIPTION and plan.version != version:
                notes.append(f"plan {seen} was in force: the fee is that of {name}@{plan.version}")
        return notes
