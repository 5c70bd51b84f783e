"""From a group of settlements to a call of `lua/commit.lua`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from config.workloads import Unit
from middlewares.ledger.group_commit.fences import KEPT_MS
from middlewares.ledger.model import Settlement
from middlewares.ledger.periods import day_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import COMMIT
from middlewares.ledger.settlement.settle_call import requests_of, settle_call, totals_of
from middlewares.store import Argument, Call

Totals = dict[str, dict[str, int]]
"""What is added to the fields of each running total, by its key."""


def in_order(group: Iterable[Settlement]) -> list[Settlement]:
    """Return the settlements in the order of the replies: those of which only totals are counted come first."""
    return sorted(group, key=lambda settlement: bool(settlement.hold.entries))


def commit_call(names: RedisKeys, tag: str, incarnation: str, number: int, group: Sequence[Settlement]) -> Call:
    """Return the call that commits a group, `in_order`, under a number that no earlier group of the worker had."""
    totals: Totals = {}
    events: list[Argument] = []
    rest_keys: list[Argument] = []
    rest: list[Argument] = []
    for settlement in group:
        if settlement.hold.entries:
            call = settle_call(names, settlement, "commit")
            rest_keys += call.all_keys
            rest += (len(call.all_keys), len(call.all_args), *call.all_args)
        else:
            events += (bytes(settlement.event), settlement.amount)
            _count(totals, names, settlement)
    arguments = [number, KEPT_MS, len(events) // 2, *events, len(totals)]
    for sums in totals.values():
        arguments.append(len(sums))
        for name, value in sums.items():
            arguments += (name, value)
    keys = (names.last_group(tag, incarnation), names.shared(tag).events, *totals, *rest_keys)
    return Call(COMMIT, keys, (*arguments, *rest))


def _count(totals: Totals, names: RedisKeys, settlement: Settlement) -> None:
    """Add what `lua/settle.lua` counts of a settlement for which nothing is reserved or included."""
    hold, amount = settlement.hold, int(settlement.amount)
    sums = totals.setdefault(names.usage(hold.app, day_of(settlement.time_ms)), {})
    head = totals_of(hold.user, hold.key, hold.workload, hold.model)
    name = head + "requests"
    sums[name] = sums.get(name, 0) + requests_of(hold.part, adjustment=False)
    for unit, value in settlement.units.items():
        if unit is not Unit.REQUESTS:
            name = head + unit
            sums[name] = sums.get(name, 0) + value
    if amount:
        name = head + "amount"
        sums[name] = sums.get(name, 0) + amount
