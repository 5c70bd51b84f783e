"""Writes the end of requests to Redis: in the background, exactly once, whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from config.workloads import SaleUnit, Unit
from middlewares.ledger.admission.pricing import counted
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import NO_EVENT, Entry, Hold, Settlement
from middlewares.ledger.periods import DAY_MS, day_of, period_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import FIND, SETTLE
from middlewares.ledger.settlement.event import DECODER, ENCODER, orphaned
from middlewares.store import Argument, Call, Receiver, ScriptRunner, SharedArguments, StoreRejected

SETTLE_SECONDS = 2.0
"""A settlement waits this long for Redis before it goes to the journal: no client waits for it."""
SCAN_SLACK_MS = 60_000
"""How far the clocks of a worker and of Redis may differ when an event is looked for by its time."""
SCAN_STRIDE = 1_000
Whose = tuple[str | None, str | None, str, str]
"""User, key, workload and model."""
OnRejected = Callable[[Settlement, StoreRejected], None]


class Marker(msgspec.Struct, gc=False):
    """What is counted for a request and when: what the reaper leaves, for a late settlement to be a difference to."""

    units: dict[Unit, int]
    amount: str
    time_ms: int


def requests_of(part: int, *, adjustment: bool) -> int:
    """How many requests the running totals count for an event: of a live session its first tick alone."""
    return 0 if adjustment or part > 1 else 1


def totals_of(user: str | None, key: str | None, workload: str | None, model: str) -> str:
    """How the fields of these running totals begin."""
    return f"{user or ''}|{key or ''}|{workload or ''}|{model.replace('%', '%25').replace('|', '%7C')}|"


def used_of(entry: Entry, units: Mapping[Unit, int]) -> str:
    """What an entry that is no lease counts of these units, as `lua/settle.lua` takes it."""
    return "amount" if entry.unit == SaleUnit.AMOUNT else str(counted(SaleUnit(entry.unit), units))


class Settler:
    """Turns settlements into calls of the settle script."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys, on_rejected: OnRejected) -> None:
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

    def begin(self, settlement: Settlement, receiver: Receiver) -> bool:
        """Begin `settle`, as `ScriptRunner.begin` says: a first reply item of 1 means that it is written.

        After any other reply `settle` still has everything to do.
        """
        return self._runner.begin(settle_call(self._keys, settlement, "settle"), receiver, SETTLE_SECONDS)

    def refused(self, settlement: Settlement, error: StoreRejected) -> None:
        """What was begun met an error that it would meet again."""
        self._on_rejected(settlement, error)

    async def settle_again(self, settlements: Iterable[Settlement]) -> int:
        """Write settlements whose first attempt got no answer; how many were not yet written.

        A missing hold is ambiguous then: the attempt may have run. What has an event in the stream is left alone. The
        stream is read after every hold was asked for, when no late attempt can find one any more. Raises `StoreError`.
        """
        batch = list(settlements)
        ended = await gather_bounded(self._end, batch)
        doubtful: dict[str, list[Settlement]] = {}
        for settlement, done in zip(batch, ended, strict=True):
            if done is None and settlement.forwarded:
                doubtful.setdefault(self._keys.tag(settlement.hold.app), []).append(settlement)
        written = sum(map(bool, ended))
        for tag, group in doubtful.items():
            known = await self._known(tag, group)
            lost = [settlement for settlement in group if settlement.hold.request_id not in known]
            written += sum(await gather_bounded(self._record, lost))
        return written

    async def reap(self, settlement: Settlement) -> bool:
        """End an expired hold for its dead owner; False where it is no longer there or was renewed."""
        return _done(await self._call(settlement, "reap"))

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

    async def _call(self, settlement: Settlement, mode: str) -> Any:
        call = settle_call(self._keys, settlement, mode)
        return await self._runner.run(SETTLE, call.all_keys, call.all_args, deadline=SETTLE_SECONDS)


def settle_call(names: RedisKeys, settlement: Settlement, mode: str) -> Call:
    """A call of `lua/settle.lua`."""
    hold = settlement.hold
    leases: list[Argument] = []
    keys: list[Argument] = []
    event = bytes(settlement.event) if settlement.forwarded else b""
    used = ENCODER.encode(Marker(settlement.units, settlement.amount, settlement.time_ms))
    args: list[Argument] = [hold.request_id, event, used]
    for entry in hold.entries:
        if entry.kind == "c":
            leases += entry.keys
        else:
            keys += entry.keys
            args += _entry(entry, settlement)
    requests = requests_of(hold.part, adjustment=mode == "adjust")
    return Call(
        SETTLE,
        (names.marker(hold.app, hold.request_id), *leases, *keys),
        args,
        _common_keys(names, hold.app, settlement.time_ms // DAY_MS),
        _common_args(mode, len(leases), requests, (hold.user, hold.key, hold.workload, hold.model)),
    )


@lru_cache(maxsize=4096)
def _common_keys(names: RedisKeys, app: str, day: int) -> SharedArguments:
    """KEYS of all settlements of an app on one day."""
    shared = names.shared(names.tag(app))
    return SharedArguments((shared.holds, shared.bodies, shared.events, names.usage(app, day_of(day * DAY_MS))))


@lru_cache(maxsize=4096)
def _common_args(mode: str, leases: int, requests: int, whose: Whose) -> SharedArguments:
    """The last ARGV, the same for all settlements of a principal, workload and model."""
    return SharedArguments((mode, leases, requests, totals_of(*whose)))


def _entry(entry: Entry, settlement: Settlement) -> Iterable[str]:
    """ARGV about one that is no lease."""
    kind = entry.per if entry.kind == "a" else entry.kind
    period = period_of(kind, settlement.time_ms) if kind in "dm" else ""
    used = used_of(entry, settlement.units) if settlement.forwarded else "0"
    return entry.kind, entry.held, used, period, entry.price


def released(hold: Hold, time_ms: int) -> Settlement:
    """The settlement of a request that never reached the gateway: give back, count nothing."""
    return Settlement(hold=hold, event=NO_EVENT, time_ms=time_ms)


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
