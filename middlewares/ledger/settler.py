"""Writes the end of requests to Redis: in the background, exactly once, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from config.workloads import SaleUnit, Unit
from middlewares.ledger.event import DECODER, ENCODER
from middlewares.ledger.keys import Keys
from middlewares.ledger.model import Entry, Hold, Settlement
from middlewares.ledger.periods import day_of, period_of
from middlewares.ledger.port import ScriptRunner
from middlewares.ledger.pricing import counted
from middlewares.ledger.scripts import FIND, SETTLE

MARKER_LIFE_MS = 30 * 86_400_000
"""How long a late settlement of a reaped request is still recognised."""
SETTLE_SECONDS = 2.0
"""A settlement waits this long for Redis before it goes to the journal: no client waits for it."""
SCAN_SLACK_MS = 2_000
SCAN_STRIDE = 1_000
NOTHING = msgspec.Raw(b"null")


class Marker(msgspec.Struct):
    """What the reaper has counted for a request, so that a late settlement can be taken as a difference."""

    units: dict[Unit, int]
    amount: str


def usage_fields(settlement: Settlement) -> list[str | int]:
    """Running totals this settlement adds to: field, increment, field, increment, ... The first counts requests."""
    hold = settlement.hold
    model = hold.model.replace("%", "%25").replace("|", "%7C")
    head = f"{hold.user or ''}|{hold.key or ''}|{hold.workload}|{model}|"
    requests = 0 if b'"type":"adjustment"' in bytes(settlement.event) else 1
    fields: list[str | int] = [head + "requests", requests]
    for unit, number in settlement.units.items():
        if unit is not Unit.REQUESTS:
            fields += [head + unit, number]
    return fields


def used_of(entry: Entry, units: dict[Unit, int]) -> str:
    """What an entry counts of these units, as `lua/settle.lua` takes it."""
    if not entry.unit:
        return "0"
    return "amount" if entry.unit == SaleUnit.AMOUNT else str(counted(SaleUnit(entry.unit), units))


class Settler:
    """Turns settlements into calls of the settle script."""

    def __init__(self, runner: ScriptRunner, keys: Keys) -> None:
        self._runner = runner
        self._keys = keys

    async def settle(self, settlement: Settlement) -> str | None:
        """Write one settlement; the final amount, or None where there was nothing (left) to write.

        Safe to call again with the same settlement when its fate is unknown, provided `attempted_ms` is set.
        Raises `StoreError`.
        """
        reply = await self._call(settlement, "settle")
        if reply[0] == 1:
            return _amount(reply)
        if reply[0] == 2:
            return await self._adjust(settlement, reply[1])
        if not settlement.forwarded or (settlement.attempted_ms and await self.written(settlement)):
            return None
        return _amount(await self._call(settlement, "record"))

    async def reap(self, settlement: Settlement) -> str | None:
        """End an expired hold for its dead owner; None where it is no longer there or was renewed."""
        marker = ENCODER.encode(Marker(settlement.units, settlement.amount))
        return _amount(await self._call(settlement, "reap", marker))

    async def written(self, settlement: Settlement) -> bool:
        """Whether the stream already has the event of a settlement that was sent before without an answer."""
        events = self._keys.shared(self._keys.tag(settlement.hold.app)).events
        start: str | bytes = str(max(0, settlement.attempted_ms - SCAN_SLACK_MS))
        identity = DECODER.decode(settlement.event).id
        while True:
            reply = await self._runner.run(FIND, [events], [identity, start, SCAN_STRIDE])
            if reply[0] == 1:
                return True
            if len(reply) == 1:
                return False
            start = reply[1]
            await asyncio.sleep(0)

    async def _adjust(self, settlement: Settlement, marker: bytes) -> str | None:
        """The reaper was here first: count only the difference, under an event of its own."""
        _, _, text = marker.partition(b" ")
        if not text or not settlement.forwarded:
            return None
        counted_before = msgspec.json.decode(text, type=Marker)
        units = {
            unit: settlement.units.get(unit, 0) - counted_before.units.get(unit, 0)
            for unit in {**settlement.units, **counted_before.units}
        }
        event = DECODER.decode(settlement.event)
        event.id += "-adjustment"
        event.type = "adjustment"
        event.units = units
        difference = Settlement(
            hold=settlement.hold,
            event=msgspec.Raw(ENCODER.encode(event)),
            time_ms=settlement.time_ms,
            units=units,
            amount=str(int(settlement.amount) - int(counted_before.amount)),
        )
        return _amount(await self._call(difference, "adjust"))

    async def _call(self, settlement: Settlement, mode: str, marker: bytes = b"") -> Any:
        hold = settlement.hold
        shared = self._keys.shared(self._keys.tag(hold.app))
        keys: list[str | bytes] = [
            shared.holds,
            shared.bodies,
            self._keys.marker(hold.app, hold.request_id),
            shared.events,
            self._keys.usage(hold.app, day_of(settlement.time_ms)),
        ]
        fields = usage_fields(settlement)
        event = bytes(settlement.event) if settlement.forwarded else b""
        head: list[str | bytes | int] = [hold.request_id, mode, event, settlement.amount, marker, MARKER_LIFE_MS]
        args = [*head, len(fields) // 2, *fields]
        for entry in hold.entries:
            keys += entry.keys
            args += self._entry(entry, settlement)
        return await self._runner.run(SETTLE, keys, args, deadline=SETTLE_SECONDS)

    @staticmethod
    def _entry(entry: Entry, settlement: Settlement) -> Iterable[str]:
        kind = entry.per if entry.kind == "a" else entry.kind
        period = period_of(kind, settlement.time_ms) if kind in "dm" else ""
        used = used_of(entry, settlement.units) if settlement.forwarded else "0"
        return entry.kind, entry.held, used, period, entry.price


def released(hold: Hold, time_ms: int) -> Settlement:
    """The settlement of a request that never reached the gateway: give back, count nothing."""
    return Settlement(hold=hold, event=NOTHING, time_ms=time_ms)


def _amount(reply: Any) -> str | None:
    return reply[1].decode() if reply[0] == 1 else None
