"""Usage by user, key, workload, model and day, from the running totals of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, cast

from config.workloads import Unit
from middlewares.ledger.redis_keys import RedisKeys
from proxy.reporting.dates import Days, compact

if TYPE_CHECKING:
    from proxy.control.records import Client

UNITS = tuple(unit for unit in Unit if unit is not Unit.REQUESTS)
"""Units, in the order of reports."""


class Dimension(StrEnum):
    """Dimensions by which usage can be broken down."""

    USER = "user"
    WORKLOAD = "workload"
    MODEL = "model"
    KEY = "key"
    DAY = "day"


@dataclass(slots=True)
class UsageTotal:
    """A sum over usage events. An adjustment adds units and money, but no request."""

    requests: int = 0
    units: dict[str, int] = field(default_factory=dict)
    amount: int = 0
    """Money, in atomic units."""

    def add(self, what: str, number: int) -> None:
        """Add `number` to `requests`, `amount` or a unit."""
        if what == "requests":
            self.requests += number
        elif what == "amount":
            self.amount += number
        else:
            self.units[what] = self.units.get(what, 0) + number

    def plain(self) -> dict[str, Any]:
        """Return the sum as it is written in JSON, without units that are 0."""
        units = {unit: self.units[unit] for unit in UNITS if self.units.get(unit)}
        return {"request_count": self.requests, "units": units, "amount": str(self.amount)}


@dataclass(frozen=True, slots=True)
class UsageField:
    """One field of a day's running totals: `user|key|workload|model|what`, each part as the ledger wrote it."""

    user: str
    key: str
    workload: str
    model: str
    what: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse the field's name, in which `|` and `%` of a model are percent-encoded."""
        user, key, workload, model, what = name.rsplit("|", 4)
        return cls(user, key, workload, model.replace("%7C", "|").replace("%25", "%"), what)


GroupValues = tuple[str, ...]
"""Values of the requested dimensions, in their order; empty where an event has none."""


@dataclass(slots=True)
class Breakdown:
    """Sums of running totals: one over all, and one for each group."""

    dimensions: tuple[Dimension, ...]
    total: UsageTotal = field(default_factory=UsageTotal)
    groups: dict[GroupValues, UsageTotal] = field(default_factory=dict)

    def add(self, day: date, totals: Iterable[tuple[str, int]]) -> None:
        """Add the running totals of one day."""
        for name, number in totals:
            part = UsageField.parse(name)
            group = tuple(
                day.isoformat() if dimension is Dimension.DAY else getattr(part, dimension)
                for dimension in self.dimensions
            )
            self.total.add(part.what, number)
            self.groups.setdefault(group, UsageTotal()).add(part.what, number)

    def rows(self) -> list[tuple[GroupValues, UsageTotal]]:
        """Return the groups in order; none if no dimension was requested."""
        return sorted(self.groups.items()) if self.dimensions else []


async def read_usage(
    client: Client, keys: RedisKeys, app: str, days: Days, dimensions: Sequence[Dimension]
) -> Breakdown:
    """Return the usage of an app over these days, broken down by these dimensions."""
    found = Breakdown(tuple(dict.fromkeys(dimensions)))
    for day in days.each():
        scan = client.hscan_iter(keys.usage(app, compact(day)), count=1_000)
        counted: Mapping[bytes, bytes] = {name: number async for name, number in cast("Any", scan)}
        found.add(day, ((name.decode(), int(number)) for name, number in counted.items()))
    return found
