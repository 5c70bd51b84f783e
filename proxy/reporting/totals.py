"""Usage by user, key, workload, model, day and month, from the running totals of the ledger."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar, cast

from config.workloads import Unit
from proxy.history.totals.total import Total, compact, parse_field
from proxy.reporting.dates import Days

if TYPE_CHECKING:
    from proxy.history.reader import LedgerEntries, LedgerSources

UNITS = tuple(unit for unit in Unit if unit is not Unit.REQUESTS)
"""Units, in the order of reports."""


class Dimension(StrEnum):
    """Dimensions by which usage can be broken down."""

    USER = "user"
    WORKLOAD = "workload"
    MODEL = "model"
    KEY = "key"
    DAY = "day"
    MONTH = "month"


_MEMBERS = {each: "day" if each is Dimension.MONTH else each.value for each in Dimension}
"""Members of `Total` by dimension."""
_COLUMNS = {each: {"user": "user_id", "key": "key_id"}.get(member, member) for each, member in _MEMBERS.items()}
"""The same in the history."""
_MONTH_LENGTH = len("2026-11")


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

    @property
    def units_used(self) -> list[Unit]:
        """Return the units that are not 0, in the order of reports."""
        return [unit for unit in UNITS if self.units.get(unit)]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> UsageTotal:
        """Return the sum that is written in JSON as `plain` writes it."""
        return cls(document["request_count"], dict(document["units"]), int(document["amount"]))

    def include(self, other: UsageTotal) -> None:
        """Add another sum."""
        self.requests += other.requests
        self.amount += other.amount
        for unit, number in other.units.items():
            self.add(unit, number)

    def plain(self) -> dict[str, Any]:
        """Return the sum as it is written in JSON, without units that are 0."""
        units = {unit: self.units[unit] for unit in self.units_used}
        return {"request_count": self.requests, "units": units, "amount": str(self.amount)}


_EXISTING = (files("proxy.reporting") / "lua" / "existing.lua").read_text()
_SPECIAL = re.compile(r"[\\*?\[\]^]")
_TURN = 200
"""Items in a row, some milliseconds; clients name the models, and so there may be any number of totals."""
_DAYS = 1_000
"""Days that Redis is asked of in one call."""

Item = TypeVar("Item")
GroupValues = tuple[str, ...]
"""Values of the requested dimensions, in their order; empty where an event has none."""


@dataclass(slots=True)
class Breakdown:
    """Sums of running totals: one over all, and one for each group."""

    dimensions: tuple[Dimension, ...]
    total: UsageTotal = field(default_factory=UsageTotal)
    groups: dict[GroupValues, UsageTotal] = field(default_factory=dict)

    def add(self, values: Sequence[str | date], what: str, number: int) -> None:
        """Add what was used by a group, of which `values` has those of the dimensions; days stand for months, too."""
        group = tuple(_text(*each) for each in zip(self.dimensions, values, strict=True))
        self.total.add(what, number)
        self.groups.setdefault(group, UsageTotal()).add(what, number)

    def add_total(self, total: Total, number: int) -> None:
        """Add one running total."""
        self.add([getattr(total, _MEMBERS[each]) for each in self.dimensions], total.what, number)

    def rows(self) -> list[tuple[GroupValues, UsageTotal]]:
        """Return the groups in order; none if no dimension was requested."""
        return sorted(self.groups.items()) if self.dimensions else []


def _text(dimension: Dimension, value: str | date) -> str:
    return f"{value}"[:_MONTH_LENGTH] if dimension is Dimension.MONTH else f"{value}"


async def read_usage(
    sources: LedgerSources, app: str, days: Days, dimensions: Sequence[Dimension], *, user: str | None = None
) -> Breakdown:
    """Return the usage of an app over these days, broken down by these dimensions.

    With `user`, that of others may be left out, which takes less time; the dimensions have to tell users apart then.

    Days that are closed come from the history, and from events that it does not have yet; days after them from Redis.
    A day that is closed meanwhile may be gone from Redis already, so that everything is read again.
    """
    from proxy.history.queries import closed_day  # noqa: PLC0415 - `tollgate --help` needs no database
    from proxy.history.reader import LedgerEntries  # noqa: PLC0415
    from proxy.history.totals.sums import closed_sums  # noqa: PLC0415

    keys, wanted = sources.keys, tuple(dict.fromkeys(dimensions))
    columns = tuple(_COLUMNS[each] for each in wanted)
    tag = keys.tags.index(keys.tag(app))
    while True:
        entries = LedgerEntries.of_app(sources, app)
        sums = partial(closed_sums, tag=tag, app=app, first=days.first, last=days.last, columns=columns)
        archived = await entries.begin(sums)
        closed = entries.snapshot.closed
        found = Breakdown(wanted)
        async for group in in_turns(archived):
            found.add(*group)
        if closed is not None and closed >= days.first:
            async for total, number in _late(entries):
                if days.first <= total.day <= min(closed, days.last):
                    found.add_total(total, number)
        for day in await _in_redis(sources, app, [each for each in days.each() if closed is None or each > closed]):
            scan = sources.client.hscan_iter(keys.usage(app, compact(day)), match=_fields_of(user), count=1_000)
            counted: Mapping[bytes, bytes] = {name: number async for name, number in cast("Any", scan)}
            async for name, text in in_turns(counted.items()):
                found.add_total(parse_field(app, day, name.decode()), int(text))
        if await sources.history.read(closed_day, tag) == closed:
            return found


def _fields_of(user: str | None) -> str | None:
    """Return a pattern of Redis that all running totals of a user match; None: those of all users are wanted."""
    return None if user is None else _SPECIAL.sub(r"\\\g<0>", user) + "|*"


async def in_turns(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Yield what is in `items`, and let others have their turn every now and then."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _TURN == 0:
            await asyncio.sleep(0)


async def _in_redis(sources: LedgerSources, app: str, days: Sequence[date]) -> list[date]:
    """Return those of the days that Redis has running totals of; a call for each of them takes far longer."""
    found: list[date] = []
    client = cast("Any", sources.client)
    for start in range(0, len(days), _DAYS):
        batch = days[start : start + _DAYS]
        numbers = await client.eval(_EXISTING, len(batch), *(sources.keys.usage(app, compact(day)) for day in batch))
        found += [batch[number - 1] for number in numbers]
    return found


async def _late(entries: LedgerEntries) -> AsyncIterator[tuple[Total, int]]:
    """Yield what events that are not in the history add to running totals."""
    from proxy.history.batch import Sums, read  # noqa: PLC0415

    added = Sums()
    async for entry in entries.streamed():
        [each] = read(0, [entry])
        added.add(each)
    async for total, number in in_turns(added.totals.items()):
        yield total, number
