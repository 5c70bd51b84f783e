"""Prepaid credits in a statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from middlewares.ledger.credit.change import CreditOutcome
from proxy.reporting.dates import Days

if TYPE_CHECKING:
    from proxy.reporting.stream import RecordedEvent

_NAMES = ("opening", "granted", "debited", "expired", "returned", "spent")
_RETURNED = (CreditOutcome.REFUNDED, CreditOutcome.DISPUTED, CreditOutcome.REINSTATED)


@dataclass(slots=True)
class Wallet:
    """Movements of one wallet in a period, in atomic units."""

    opening: int = 0
    granted: int = 0
    debited: int = 0
    """Taken out by `tollgate credits debit`; of days whose events were pruned, all that was taken out."""
    expired: int = 0
    returned: int = 0
    """Taken back by refunds and disputes of payments, less what won disputes have put in again."""
    spent: int = 0
    """Cost of requests, less what adjustments gave back."""

    def add(self, recorded: RecordedEvent, days: Days) -> None:
        """Add an event that changed this wallet, in the period or before it."""
        event, amount = recorded.event, int(recorded.amount)
        if event.time >= days.end_ms:
            return
        if event.time < days.start_ms:
            self.opening += amount if event.type == "credit" else -amount
        elif event.type != "credit":
            self.spent += amount
        elif event.outcome == CreditOutcome.EXPIRED:
            self.expired -= amount
        elif event.outcome in _RETURNED:
            self.returned -= amount
        elif amount > 0:
            self.granted += amount
        else:
            self.debited -= amount

    @property
    def closing(self) -> int:
        """Closing balance, with which the next period opens."""
        return self.opening + self.granted - self.debited - self.expired - self.returned - self.spent

    @classmethod
    def of(cls, document: Mapping[str, str]) -> Wallet:
        """Return the wallet that is written in JSON as `plain` writes it."""
        return cls(*(int(document[name]) for name in _NAMES))

    def plain(self) -> dict[str, str]:
        """Return the wallet as it is written in JSON."""
        return {name: str(getattr(self, name)) for name in (*_NAMES, "closing")}
