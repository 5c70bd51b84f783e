"""Writes the end of requests to Redis: in the background, exactly once, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.group_commit.fences import Fences
from middlewares.ledger.group_commit.found_logs import FoundLogs
from middlewares.ledger.model import NO_EVENT, Hold, Settlement
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import DOUBT, FIND
from middlewares.ledger.settlement.event import DECODER, ENCODER, orphaned
from middlewares.ledger.settlement.settle_call import CountedUsage, Mode, settle_call
from middlewares.store import Call, ScriptRunner, StoreRejected, StoreUnavailable

SETTLE_SECONDS = 2.0
"""A settlement waits this long for Redis before it goes to the journal: no client waits for it."""
SCAN_SLACK_MS = 60_000
"""How far the clocks of a worker and of Redis may differ when an event is looked for by its time."""
SCAN_STRIDE = 1_000

SETTLED, REAPED = 1, 2
"""How a reply of `lua/settle.lua` begins: it is written; the reaper was first, and the marker follows. 0: no hold."""

ABSENT, UNSAID = 0, 2
"""What `lua/doubt.lua` says of a request. 1: its event is in the history."""

OnRejected = Callable[[Settlement, StoreRejected], None]


class Settler:
    """Turns settlements into calls of the settle script."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, on_rejected: OnRejected) -> None:
        """`on_rejected` must keep a settlement that Redis refuses whenever it comes: repeating it is no use."""
        self._runner = runner
        self._keys = keys
        self._on_rejected = on_rejected
        self.fences = Fences(runner, keys)
        self.found_logs = FoundLogs(runner, keys)

    async def settle(self, settlement: Settlement) -> bool:
        """Write a settlement for the first time; return False where nothing was left to count.

        Raises `StoreError`: then its fate is unknown, and only `settle_again` is safe.
        """
        return await self._record_if_lost(settlement, await self._settle_by_hold(settlement))

    def begin(self, settlement: Settlement) -> asyncio.Future[list[Any]]:
        """Begin to write a settlement for the first time, without a task: return the future of the script's reply.

        After any reply but one that begins with `SETTLED`, `conclude` has to do the rest.
        """
        return self._call(settlement, "settle")

    async def conclude(self, settlement: Settlement, reply: list[Any]) -> bool:
        """Do what is left to do after this reply of the settle script; return as `settle` does, raise as it does.

        Without a hold there is nothing to give back, for Redis was away at admission or has lost it since; the event
        is recorded all the same.
        """
        return await self._record_if_lost(settlement, await self._written(settlement, reply))

    async def settle_again(self, settlements: Iterable[Settlement]) -> int:
        """Write settlements whose first attempt got no reply; return how many were not yet written.

        A missing hold is ambiguous then: the attempt may have run. What has an event in the stream is left alone, and
        so is what the archiver finds in the history, where the event may have been trimmed. The stream is read after
        every hold was tried, when no late attempt can find one any more. Raises `StoreError`, also while the archiver
        has yet to look: then all of them have to be written again later.
        """
        batch = list(settlements)
        by_hold = await gather_bounded(self._settle_by_hold, batch)
        doubtful: dict[str, list[Settlement]] = {}
        for settlement, written in zip(batch, by_hold, strict=True):
            if written is None and settlement.forwarded:
                doubtful.setdefault(self._keys.tag(settlement.hold.app), []).append(settlement)
        total, unsaid = sum(map(bool, by_hold)), 0
        for tag, group in doubtful.items():
            known = await self._known(tag, group)
            absent = [settlement for settlement in group if settlement.hold.request_id not in known]
            lost, waiting = await self._lost(tag, absent)
            total += sum(await gather_bounded(self._record, lost))
            unsaid += waiting
        if unsaid:
            raise StoreUnavailable(f"{unsaid} events may be in the history; its archiver has yet to look for them")
        return total

    def reject(self, settlement: Settlement, error: StoreRejected) -> None:
        """Keep a settlement that Redis refuses for a person; it is not to be written again."""
        self._on_rejected(settlement, error)
        settlement.refused = True

    async def reap(self, settlement: Settlement) -> bool:
        """End an expired hold for its dead owner; return False where it is no longer there or was renewed."""
        return _settled(await self._call(settlement, "reap"))

    async def _settle_by_hold(self, settlement: Settlement) -> bool | None:
        """Settle a hold that may be there still; return as `_written` does."""
        try:
            reply = await self._call(settlement, "settle")
        except StoreRejected as error:
            self.reject(settlement, error)
            return False
        return await self._written(settlement, reply)

    async def _written(self, settlement: Settlement, reply: list[Any]) -> bool | None:
        """Adjust what the reaper made of a hold, if this reply says that it did.

        Return True if the settlement is written, False if nothing is left to write, None if its hold is not there.
        """
        if reply[0] != REAPED:
            return True if reply[0] == SETTLED else None
        try:
            return await self._adjust(settlement, reply[1])
        except StoreRejected as error:
            self.reject(settlement, error)
            return False

    async def _record_if_lost(self, settlement: Settlement, written: bool | None) -> bool:
        """Record a settlement whose hold is not there, as `_written` says of it."""
        if written is None and settlement.forwarded:
            return await self._record(settlement)
        return bool(written)

    async def _record(self, settlement: Settlement) -> bool:
        """Count a request that has no hold; return False where that was done before."""
        try:
            return _settled(await self._call(settlement, "record"))
        except StoreRejected as error:
            self.reject(settlement, error)
            return False

    async def _known(self, tag: str, settlements: Iterable[Settlement]) -> set[str]:
        """Return the ids of those requests that have an event in the stream already."""
        wanted = {settlement.hold.request_id for settlement in settlements}
        oldest = min(settlement.attempted_ms for settlement in settlements)
        start: str | bytes = str(max(0, oldest - SCAN_SLACK_MS))
        known: set[str] = set()
        while start:
            call = Call(FIND, [self._keys.shared(tag).events], [start, SCAN_STRIDE])
            start, *found = await self._runner.run(call, deadline=SETTLE_SECONDS)
            known.update(wanted.intersection(map(bytes.decode, found)))
        return known

    async def _lost(self, tag: str, absent: Sequence[Settlement]) -> tuple[list[Settlement], int]:
        """Return those that have no event in the history either, and of how many that cannot be said yet."""
        lost: list[Settlement] = []
        waiting, keys = 0, self._keys.shared(tag)
        for start in range(0, len(absent), SCAN_STRIDE):
            part = absent[start : start + SCAN_STRIDE]
            oldest = min(settlement.attempted_ms for settlement in part) - SCAN_SLACK_MS
            call = Call(DOUBT, [keys.trimmed, keys.doubts], [str(oldest), *(each.hold.request_id for each in part)])
            for settlement, said in zip(part, await self._runner.run(call, deadline=SETTLE_SECONDS), strict=True):
                if said == ABSENT:
                    lost.append(settlement)
                waiting += said == UNSAID
        return lost, waiting

    async def _adjust(self, settlement: Settlement, marker: bytes) -> bool:
        """Count what a settlement differs from what the reaper counted, on its day, under an event of its own."""
        _, _, text = marker.partition(b" ")
        counted_before = msgspec.json.decode(text, type=CountedUsage)
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
        difference = Settlement(
            hold=hold, event=encoded, time_ms=then, units=units, amount=str(amount), work_done=settlement.work_done
        )
        return _settled(await self._call(difference, "adjust"))

    def _call(self, settlement: Settlement, mode: Mode) -> asyncio.Future[list[Any]]:
        return self._runner.run(settle_call(self._keys, settlement, mode), deadline=SETTLE_SECONDS)


def released(hold: Hold, time_ms: int) -> Settlement:
    """Return the settlement of a request that never reached the gateway: it gives back and counts nothing."""
    return Settlement(hold=hold, event=NO_EVENT, time_ms=time_ms)


def orphan(hold: Hold, time_ms: int) -> Settlement:
    """Return the settlement of an expired hold: its owner died, so its plan's policy counts.

    Of a silent hold there is nothing to count.
    """
    if hold.silent:
        return released(hold, time_ms)
    event = orphaned(hold, time_ms)
    amount = hold.fixed or hold.estimate
    return Settlement(
        hold=hold,
        event=msgspec.Raw(ENCODER.encode(event)),
        time_ms=time_ms,
        units=event.units,
        amount=amount if hold.on_orphan == "estimate" else "0",
        work_done=hold.on_orphan != "refund",
    )


def _settled(reply: list[Any]) -> bool:
    return bool(reply[0] == SETTLED)
