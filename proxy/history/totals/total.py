"""Names of running totals: in the history's columns, and in the ledger's hash of an app and day."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from middlewares.ledger.settlement.settle_call import totals_of


class Total(NamedTuple):
    """Place of a running total; empty text stands for no user, key, workload or model."""

    app: str
    day: date
    user: str
    key: str
    workload: str
    model: str
    what: str
    """`requests`, `amount` or a unit."""

    @property
    def field(self) -> str:
        """Return the field of the ledger's hash."""
        return totals_of(self.user, self.key, self.workload, self.model) + self.what


def parse_field(app: str, day: date, name: str) -> Total:
    """Return the place that a field of the ledger's hash stands for; `|` and `%` of a model are percent-encoded."""
    user, key, workload, model, what = name.rsplit("|", 4)
    return Total(app, day, user, key, workload, storable(model.replace("%7C", "|").replace("%25", "%")), what)


def storable(model: str) -> str:
    """Return the name of a model as both databases can have it: clients choose it, and PostgreSQL has no NUL."""
    return model.replace("\0", "\ufffd")


def compact(day: date) -> str:
    """Return the day as in the keys of the ledger, `20261121`."""
    return day.isoformat().replace("-", "")
