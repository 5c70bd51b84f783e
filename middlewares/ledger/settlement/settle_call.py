"""From a settlement to a call of `lua/settle.lua`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from config.workloads import SaleUnit, Unit
from middlewares.ledger.admission.pricing import counted
from middlewares.ledger.model import HoldEntry, Settlement
from middlewares.ledger.periods import DAY_MS, day_of, period_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import SETTLE
from middlewares.ledger.settlement.event import ENCODER
from middlewares.store import Argument, Call, SharedArguments

Mode = Literal["settle", "reap", "adjust", "record", "commit"]
"""As in `lua/settle.lua`."""
UserKeyWorkloadModel = tuple[str | None, str | None, str, str]


class CountedUsage(msgspec.Struct, gc=False):
    """The usage that was counted for a request, and when.

    The reaper leaves it behind as the request's marker, so that a late settlement counts the difference alone.
    """

    units: dict[Unit, int]
    amount: str
    """In atomic units, before allowances."""
    time_ms: int


def requests_of(part: int, *, adjustment: bool) -> int:
    """Return how many requests the running totals count for an event: of a live session its first tick alone."""
    return 0 if adjustment or part > 1 else 1


@lru_cache(maxsize=4096)
def totals_of(user: str | None, key: str | None, workload: str | None, model: str) -> str:
    """Return the beginning of the hash fields that hold these running totals."""
    return f"{user or ''}|{key or ''}|{workload or ''}|{model.replace('%', '%25').replace('|', '%7C')}|"


def used_of(entry: HoldEntry, units: Mapping[Unit, int]) -> str:
    """Return what an entry that is no lease counts of these units, as `lua/settle.lua` takes it."""
    return "amount" if entry.unit == SaleUnit.AMOUNT else str(counted(SaleUnit(entry.unit), units))


def settle_call(names: RedisKeys, settlement: Settlement, mode: Mode) -> Call:
    """Return the call of `lua/settle.lua` that ends a hold in this mode."""
    hold = settlement.hold
    leases: list[Argument] = []
    keys: list[Argument] = []
    event = bytes(settlement.event) if settlement.forwarded else b""
    used = ENCODER.encode(CountedUsage(settlement.units, settlement.amount, settlement.time_ms))
    args: list[Argument] = [hold.request_id, event, used]
    for entry in hold.entries:
        if entry.kind == "c":
            leases += entry.keys
        else:
            keys += entry.keys
            args += _entry_arguments(entry, settlement)
    requests = requests_of(hold.part, adjustment=mode == "adjust")
    return Call(
        SETTLE,
        (names.marker(hold.app, hold.request_id), *leases, *keys),
        args,
        _common_keys(names, hold.app, settlement.time_ms // DAY_MS),
        _common_args(mode, len(leases), requests, (hold.user, hold.key, hold.workload, hold.model)),
    )


def _entry_arguments(entry: HoldEntry, settlement: Settlement) -> Iterable[str]:
    """Return the five ARGV about an entry that is no lease."""
    if entry.kind == "i":
        return entry.kind, entry.held, "1" if settlement.work_done else "0", entry.per, ""
    kind = entry.per if entry.kind == "a" else entry.kind
    period = period_of(kind, settlement.time_ms) if kind in "dmt" else ""
    used = used_of(entry, settlement.units) if settlement.forwarded else "0"
    if entry.kind != "a":
        return entry.kind, entry.held, used, period, settlement.hold.share
    price = f"{entry.price} t" if entry.price and settlement.hold.part else entry.price
    return entry.kind, entry.held, used, period, price


@lru_cache(maxsize=4096)
def _common_keys(names: RedisKeys, app: str, day: int) -> SharedArguments:
    """Return the KEYS that all settlements of an app on one day (days since 1970) have in common."""
    shared = names.shared(names.tag(app))
    return SharedArguments((shared.holds, shared.bodies, shared.events, names.usage(app, day_of(day * DAY_MS))))


@lru_cache(maxsize=4096)
def _common_args(mode: Mode, leases: int, requests: int, totals: UserKeyWorkloadModel) -> SharedArguments:
    """Return the last ARGV, the same for all settlements of a principal, workload and model."""
    return SharedArguments((mode, leases, requests, totals_of(*totals)))
