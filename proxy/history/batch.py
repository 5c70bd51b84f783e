"""What one batch of stream entries adds to the history: rows of events, running totals and movements of wallets."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple, Self

import msgspec

from middlewares.ledger.periods import DAY_MS
from middlewares.ledger.settlement.settle_call import requests_of
from proxy.history.packing import Fields, packed
from proxy.history.totals.total import Total, storable

UNREADABLE = "unreadable"
"""Type and outcome of a row whose entry is no usage event."""

_EPOCH = date(1970, 1, 1)
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)")
_APP = re.compile(rb'"app":"([^"\\]*)"')
_WALLETS = {b"app": "app", b"user": "user"}


class Entry(NamedTuple):
    """Id of a stream entry, in the order of the stream."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Return the entry that Redis writes as `<ms>-<seq>`."""
        ms, _, seq = text.partition(b"-")
        return cls(int(ms), int(seq))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @property
    def next(self) -> str:
        """Return the smallest id after it, as Redis writes it."""
        return f"{self.ms}-{self.seq + 1}" if self.seq < 2**63 - 1 else f"{self.ms + 1}-0"


START = Entry(0, 0)

COLUMNS = (
    *("id", "tag", "entry_ms", "entry_seq", "time", "app", "user_id", "key_id", "plan", "workload", "model"),
    *("type", "outcome", "amount", "gross", "wallet", "event", "fields"),
)
"""Columns of a row of events, in the order of its values. Amounts are decimal text, which both databases take."""
Row = tuple[str | int | None, ...]


class _Event(msgspec.Struct, gc=False):
    """The part of a usage event that has columns, and its HTTP status.

    Names of workloads, units and kinds may be of another version.
    """

    id: str
    time: int
    app: str
    outcome: str
    model: str
    plan: str
    user: str | None = None
    key: str | None = None
    workload: str | None = None
    type: str = "usage"
    units: dict[str, int] = {}
    network_units: int | None = None
    part: int = 0
    status: int = 0


_DECODE = msgspec.json.Decoder(_Event).decode


_Head = tuple[str, date, str, str, str, str]
"""Place of running totals: app, day, user, key, workload, model."""


def _zeros() -> defaultdict[str, int]:
    return defaultdict(int)


@dataclass(slots=True)
class Movement:
    """What a day changes in a wallet, in atomic units."""

    granted: int = 0
    debited: int = 0
    spent: int = 0


@dataclass(slots=True)
class Sums:
    """What events add to running totals and wallets."""

    counts: defaultdict[_Head, defaultdict[str, int]] = field(default_factory=lambda: defaultdict(_zeros))
    """By place and what, as a dictionary of dictionaries is filled in half the time of one of all names."""
    wallets: defaultdict[tuple[str, str, date], Movement] = field(default_factory=lambda: defaultdict(Movement))
    """By app, user (empty: the app's own) and day."""

    def add(self, each: ReadEntry) -> None:
        """Add one event; what is no event adds nothing."""
        event = each.event
        if event is None:
            return
        amount, day = int(each.fields[b"amount"]), day_of(event.time)
        if wallet := each.fields.get(b"wallet", b""):
            owner = event.user or "" if wallet == b"user" else ""
            _move(self.wallets[event.app, owner, day], amount, credit=event.type == "credit")
        if event.type != "credit":
            _count(self.counts, event, day, amount)

    @property
    def totals(self) -> dict[Total, int]:
        """Return what is added to each running total."""
        return {Total(*head, what): number for head, counts in self.counts.items() for what, number in counts.items()}


@dataclass(slots=True)
class ReadEntry:
    """One entry and its event, if it is one."""

    entry: Entry
    fields: Fields
    event: _Event | None
    id: str

    def pruned(self, boundary_ms: int) -> bool:
        """Return True if its event was in a history that was pruned up to this boundary.

        An event that comes late for a pruned month is new: its entry is younger than the boundary.
        """
        return max(self.event.time if self.event else 0, self.entry.ms) < boundary_ms


def read(tag: int, entries: Iterable[tuple[bytes, Fields]]) -> list[ReadEntry]:
    """Decode the entries of a stream. What is no usage event has an id made of its place."""
    found = []
    for name, fields in entries:
        event: _Event | None
        try:
            event = _DECODE(fields[b"event"])
            event.model = storable(event.model)
            if not _NUMBER.fullmatch(fields[b"amount"]) or b"\0" in fields[b"event"]:
                event = None
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
            event = None
        identity = event.id if event else f"{UNREADABLE}-{tag}-{name.decode()}"
        found.append(ReadEntry(Entry.parse(name), fields, event, identity))
    return found


def row_of(tag: int, each: ReadEntry) -> Row:
    """Return the row of an entry."""
    return _unreadable(tag, each) if each.event is None else _row(tag, each, each.event)


@lru_cache(maxsize=4096)
def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)


def day_of(time_ms: int) -> date:
    """Return the UTC day of Unix milliseconds."""
    return _day(time_ms // DAY_MS)


def start_of(day: date) -> int:
    """Return the first Unix millisecond of a UTC day."""
    return (day - _EPOCH).days * DAY_MS


def _count(counts: defaultdict[_Head, defaultdict[str, int]], event: _Event, day: date, amount: int) -> None:
    """Count an event in the running totals as `lua/settle.lua` does: requests and units also where they are 0."""
    of_head = counts[event.app, day, event.user or "", event.key or "", event.workload or "", event.model]
    of_head["requests"] += requests_of(event.part, adjustment=event.type == "adjustment")
    for unit, number in event.units.items():
        if unit != "requests":
            of_head[unit] += number
    if amount:
        of_head["amount"] += amount


def _move(movement: Movement, amount: int, *, credit: bool) -> None:
    if not credit:
        movement.spent += amount
    elif amount > 0:
        movement.granted += amount
    else:
        movement.debited -= amount


def _row(tag: int, each: ReadEntry, event: _Event) -> Row:
    fields, entry = each.fields, each.entry
    gross, wallet, whole = None, "", None
    if len(fields) > 2:
        gross, wallet = _digits(fields.get(b"gross")), _WALLETS.get(fields.get(b"wallet", b""), "")
        if len(fields) != 2 + (gross is not None) + bool(wallet):  # something that the columns do not hold
            gross, wallet, whole = None, "", packed(fields)
    return (
        event.id,
        tag,
        entry.ms,
        entry.seq,
        event.time,
        event.app,
        event.user,
        event.key,
        event.plan,
        event.workload,
        event.model,
        event.type,
        event.outcome,
        fields[b"amount"].decode(),
        gross,
        wallet,
        fields[b"event"].decode(),
        whole,
    )


def _unreadable(tag: int, each: ReadEntry) -> Row:
    found, entry = _APP.search(each.fields.get(b"event", b"")), each.entry
    app = found.group(1).decode(errors="replace").replace("\0", "") if found else ""
    head = each.id, tag, entry.ms, entry.seq, entry.ms, app
    return *head, None, None, "", None, "", UNREADABLE, UNREADABLE, None, None, "", "", packed(each.fields)


def _digits(number: bytes | None) -> str | None:
    return number.decode() if number is not None and _NUMBER.fullmatch(number) else None
