"""Statements: what an app owes for a period, computed only from its events.

An event has one amount, although several lines of a price list may have made it. So a line item stands for a
workload, a model and a plan version, with the quantity of each unit beside it and the sum of the events' amounts;
amounts were rounded event by event. The line items therefore add up exactly to the events.
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
from proxy.reporting.statements.wallet import Wallet
from proxy.reporting.totals import UsageTotal

if TYPE_CHECKING:
    from datetime import date

    from proxy.history.batch import Movement
    from proxy.history.totals.total import Total
    from proxy.reporting.stream import RecordedEvent


class LineKind(StrEnum):
    """Kinds of line items."""

    FEE = "fee"
    """A subscription: the plan's fee for each user who was active in the month."""
    USAGE = "usage"
    ADJUSTMENT = "adjustment"
    """A correction of the charge for a request whose worker had died, once its true usage is known."""


@dataclass(frozen=True, slots=True)
class LineKey:
    """Kind, plan version, workload and model of a line item. A fee has no workload and no model."""

    kind: LineKind
    plan: str
    workload: str = ""
    model: str = ""

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Sort key in a statement."""
        return tuple(LineKind).index(self.kind), self.plan, self.workload, self.model


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line item; on fees, `users` is their number."""

    key: LineKey
    total: UsageTotal
    users: int = 0

    def plain(self) -> dict[str, Any]:
        """Return the line as it is written in JSON."""
        key = self.key
        head = {"kind": key.kind, "plan": key.plan, "workload": key.workload or None, "model": key.model or None}
        return head | ({"users": self.users} if key.kind is LineKind.FEE else {}) | self.total.plain()


@dataclass(frozen=True, slots=True)
class Statement:
    """An app's account of one period."""

    days: Days
    lines: tuple[LineItem, ...]
    wallets: tuple[tuple[str | None, Wallet], ...]
    """Wallets by user; None is that of the app. They show how lines were paid, and are no lines themselves."""
    plans: tuple[str, ...]
    """Plan versions that priced its events, `<name>@<version>`."""
    events: int
    attention: int
    """Number of events that are marked for attention by their plan."""
    digest: str
    """SHA-256 (hex) over the ids of the events, sorted and each followed by a line feed."""
    notes: tuple[str, ...]
    """Caveats for readers."""

    def amount(self, *kinds: LineKind) -> int:
        """Return the sum of the lines of these kinds, by default of all lines."""
        return sum(line.total.amount for line in self.lines if not kinds or line.key.kind in kinds)


@dataclass(slots=True)
class Tally:
    """Adds up events for a statement."""

    days: Days
    lines: dict[LineKey, UsageTotal] = field(default_factory=dict)
    wallets: dict[str | None, Wallet] = field(default_factory=dict)
    active: dict[str, set[str | None]] = field(default_factory=dict)
    """Active users by plan name; None is the app itself."""
    plans: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)
    attention: int = 0
    kept_from: date | None = None
    """First day whose events are kept, if those of days before it in the period were pruned."""

    def wallet(self, user: str) -> Wallet:
        """Return the wallet of a user; empty: that of the app."""
        return self.wallets.setdefault(user or None, Wallet())

    def move(self, user: str, movement: Movement) -> None:
        """Add what a day whose events were pruned has changed in a wallet."""
        wallet = self.wallet(user)
        wallet.granted += movement.granted
        wallet.debited += movement.debited
        wallet.spent += movement.spent

    def count(self, total: Total, number: int) -> None:
        """Add one running total of a day whose events were pruned: its plan is not known any more."""
        key = LineKey(LineKind.USAGE, "", total.workload, total.model)
        self.lines.setdefault(key, UsageTotal()).add(total.what, number)

    def add(self, recorded: RecordedEvent) -> None:
        """Add one event; one before the period counts only in the opening balance of a wallet."""
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

    def _charge(self, recorded: RecordedEvent) -> None:
        event = recorded.event
        kind = LineKind(event.type)
        total = self.lines.setdefault(LineKey(kind, event.plan, event.workload or "", event.model), UsageTotal())
        total.amount += int(recorded.amount)
        for unit, number in event.units.items():
            if unit is not Unit.REQUESTS:
                total.add(unit, number)
        if kind is LineKind.USAGE:
            total.requests += event.part <= 1
            self.active.setdefault(event.plan.rpartition("@")[0], set()).add(event.user)
        self.plans.add(event.plan)

    def statement(self, plans: Mapping[str, Plan], *, over: bool = True) -> Statement:
        """Return the statement, with the fees of `plans` (those in force now) if the period is a whole month.

        `over` is True if the period has ended.
        """
        lines = [LineItem(key, total) for key, total in self.lines.items()]
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

    def _fees(self, plans: Mapping[str, Plan]) -> list[LineItem]:
        found = []
        for name, users in self.active.items():
            plan = plans.get(name)
            if plan is not None and plan.billing is Billing.SUBSCRIPTION:
                total = UsageTotal(amount=len(users) * plan.fee)
                found.append(LineItem(LineKey(LineKind.FEE, f"{name}@{plan.version}"), total, len(users)))
        return found

    def _notes(self, plans: Mapping[str, Plan], *, over: bool) -> list[str]:
        notes = [] if over else ["the period is not over yet"]
        if self.kept_from is not None:
            notes.append(
                f"events before {self.kept_from} were pruned: lines of these days are running totals, adjustments "
                "included, without plan, fees and events"
            )
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
