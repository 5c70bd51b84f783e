"""Writes the end of requests to Redis: in the background, exactly once, whatever fails."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from config.workloads import SaleUnit, Unit
from middlewares.ledger.event import DECODER, ENCODER, Event, orphaned
from middlewares.ledger.keys import Keys
from middlewares.ledger.model import Entry, Hold, Settlement
from middlewares.ledger.periods import day_of, period_of
from middlewares.ledger.port import ScriptRunner, StoreRejected, Word
from middlewares.ledger.pricing import counted
from middlewares.ledger.scripts import FIND, SETTLE
from middlewares.ledger.turns import in_turns

MARKER_LIFE_MS = 30 * 86_400_000
"""How long a late settlement of a reaped request is still recognised."""
SETTLE_SECONDS = 2.0
"""A settlement waits this long for Redis before it goes to the journal: no client waits for it."""
SCAN_SLACK_MS = 60_000
"""How far the clocks of a worker and of Redis may differ when an event is looked for by its time."""
SCAN_STRIDE = 1_000
NOTHING = msgspec.Raw(b"null")
OnRejected = Callable[[Settlement, StoreRejected], None]


class Marker(msgspec.Struct):
    """What the reaper has counted for a request and when, so that a late settlement can be taken as a difference."""

    time_ms: int
    units: dict[Unit, int]
    amount: str


def usage_fields(request: Hold | Event, units: Mapping[Unit, int], *, adjustment: bool) -> list[str | int]:
    """Running totals these units add to: field, increment, field, increment, ... The first counts requests."""
    head = _whose(request.user or "", request.key or "", request.workload or "", request.model)
    fields: list[str | int] = [head + "requests", 0 if adjustment or request.part > 1 else 1]
    for unit, number in units.items():
        if unit is not Unit.REQUESTS:
            fields += [head + unit, number]
    return fields


@lru_cache(maxsize=4096)
def _whose(user: str, key: str, workload: str, model: str) -> str:
    return f"{user}|{key}|{workload}|{model.replace('%', '%25').replace('|', '%7C')}|"


def used_of(entry: Entry, units: Mapping[Unit, int]) -> str:
    """What an entry counts of these units, as `lua/settle.lua` takes it."""
    if not entry.unit:
        return "0"
    return "amount" if entry.unit == SaleUnit.AMOUNT else str(counted(SaleUnit(entry.unit), units))


class Settler:
    """Turns settlements into calls of the settle script."""

    def __init__(self, runner: ScriptRunner, keys: Keys, on_rejected: OnRejected) -> None:
        """`on_rejected` hears of a settlement that Redis refuses whenever it comes: repeating it is no use."""
        self._runner = runner
        self._keys = keys
        self._on_rejected = on_rejected

    async def settle(self, settlement: Settlement) -> bool:
        """Write a settlement for the first time; False where nothing was left to count.

        Without a hold there is nothing to give back, for Redis was away at admission or has lost it since; the event
        is recorded all the same. Raises `StoreError`: then its fate is unknown, and only `settle_again` is safe.
        """
        done = await self._end(settlement)
        if done is None and settlement.forwarded:
            return await self._record(settlement)
        return done or False

    def begin(self, settlement: Settlement) -> Future[Any] | None:
        """Begin `settle`, as `ScriptRunner.begin` says: a first reply item of 1 means that it is written.

        After any other reply `settle` still has everything to do.
        """
        keys, args = settle_call(self._keys, settlement, "settle")
        return self._runner.begin(SETTLE, keys, args, deadline=SETTLE_SECONDS)

    def refused(self, settlement: Settlement, error: StoreRejected) -> None:
        """What was begun met an error that it would meet again."""
        self._on_rejected(settlement, error)

    async def settle_again(self, settlements: Iterable[Settlement]) -> int:
        """Write settlements whose first attempt got no answer; how many were not yet written.

        A missing hold is ambiguous then: the attempt may have run. What has an event in the stream is left alone. The
        stream is read after every hold was asked for, when no late attempt can find one any more. Raises `StoreError`.
        """
        batch = list(settlements)
        ended = await in_turns(self._end, batch)
        doubtful: dict[str, list[Settlement]] = {}
        for settlement, done in zip(batch, ended, strict=True):
            if done is None and settlement.forwarded:
                doubtful.setdefault(self._keys.tag(settlement.hold.app), []).append(settlement)
        written = sum(map(bool, ended))
        for tag, group in doubtful.items():
            known = await self._known(tag, group)
            lost = [settlement for settlement in group if settlement.hold.request_id not in known]
            written += sum(await in_turns(self._record, lost))
        return written

    async def reap(self, settlement: Settlement) -> bool:
        """End an expired hold for its dead owner; False where it is no longer there or was renewed."""
        marker = ENCODER.encode(Marker(settlement.time_ms, settlement.units, settlement.amount))
        return _done(await self._call(settlement, "reap", marker))

    async def _end(self, settlement: Settlement) -> bool | None:
        """Settle by the hold, or adjust what the reaper made of it; None where there is neither."""
        try:
            reply = await self._call(settlement, "settle")
            if reply[0] == 2:
                return await self._adjust(settlement, reply[1])
        except StoreRejected as error:
            self._on_rejected(settlement, error)
            return False
        return True if reply[0] == 1 else None

    async def _record(self, settlement: Settlement) -> bool:
        """Count a request that has no hold."""
        try:
            return _done(await self._call(settlement, "record"))
        except StoreRejected as error:
            self._on_rejected(settlement, error)
            return False

    async def _known(self, tag: str, settlements: Iterable[Settlement]) -> set[str]:
        """Which of these requests have an event in the stream already."""
        wanted = {settlement.hold.request_id for settlement in settlements}
        oldest = min(settlement.attempted_ms for settlement in settlements)
        start: str | bytes = str(max(0, oldest - SCAN_SLACK_MS))
        known: set[str] = set()
        while start:
            start, *found = await self._runner.run(
                FIND, [self._keys.shared(tag).events], [start, SCAN_STRIDE], deadline=SETTLE_SECONDS
            )
            known.update(wanted.intersection(map(bytes.decode, found)))
        return known

    async def _adjust(self, settlement: Settlement, marker: bytes) -> bool:
        """The reaper was here first: count only the difference, if any, on its day, under an event of its own."""
        _, _, text = marker.partition(b" ")
        counted_before = msgspec.json.decode(text, type=Marker)
        units = {
            unit: settlement.units.get(unit, 0) - counted_before.units.get(unit, 0)
            for unit in {**settlement.units, **counted_before.units}
        }
        amount = int(settlement.amount) - int(counted_before.amount)
        if not amount and not any(units.values()):
            return False
        hold, then = settlement.hold, counted_before.time_ms
        event = DECODER.decode(settlement.event) if settlement.forwarded else orphaned(hold, then)
        event.time = then
        event.id += "-adjustment"
        event.type = "adjustment"
        event.units = units
        encoded = msgspec.Raw(ENCODER.encode(event))
        difference = Settlement(hold=hold, event=encoded, time_ms=then, units=units, amount=str(amount))
        return _done(await self._call(difference, "adjust"))

    async def _call(self, settlement: Settlement, mode: str, marker: bytes = b"") -> Any:
        keys, args = settle_call(self._keys, settlement, mode, marker)
        return await self._runner.run(SETTLE, keys, args, deadline=SETTLE_SECONDS)


def settle_call(names: Keys, settlement: Settlement, mode: str, marker: bytes = b"") -> tuple[list[Word], list[Word]]:
    """KEYS and ARGV of `lua/settle.lua`."""
    hold = settlement.hold
    shared = names.shared(names.tag(hold.app))
    keys: list[Word] = [
        shared.holds,
        shared.bodies,
        names.marker(hold.app, hold.request_id),
        shared.events,
        names.usage(hold.app, day_of(settlement.time_ms)),
    ]
    fields = usage_fields(hold, settlement.units, adjustment=mode == "adjust")
    event = bytes(settlement.event) if settlement.forwarded else b""
    head: list[Word] = [hold.request_id, mode, event, settlement.amount, marker, MARKER_LIFE_MS]
    args = [*head, len(fields) // 2, *fields]
    for entry in hold.entries:
        keys += entry.keys
        args += _entry(entry, settlement)
    return keys, args


def _entry(entry: Entry, settlement: Settlement) -> Iterable[str]:
    kind = entry.per if entry.kind == "a" else entry.kind
    period = period_of(kind, settlement.time_ms) if kind in "dm" else ""
    used = used_of(entry, settlement.units) if settlement.forwarded else "0"
    return entry.kind, entry.held, used, period, entry.price


def released(hold: Hold, time_ms: int) -> Settlement:
    """The settlement of a request that never reached the gateway: give back, count nothing."""
    return Settlement(hold=hold, event=NOTHING, time_ms=time_ms)


def orphan(hold: Hold, time_ms: int) -> Settlement:
    """The settlement of an expired hold: its owner died, and its plan's declared policy counts, or its stream ended."""
    if hold.part:
        return released(hold, time_ms)
    event = orphaned(hold, time_ms)
    amount = hold.fixed or hold.estimate
    return Settlement(
        hold=hold,
        event=msgspec.Raw(ENCODER.encode(event)),
        time_ms=time_ms,
        units=event.units,
        amount=amount if hold.on_orphan == "estimate" else "0",
    )


def _done(reply: Any) -> bool:
    return bool(reply[0] == 1)
