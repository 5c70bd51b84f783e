"""Prices: from units and price list to amounts, all in integers of the atomic unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from config.plans import Billing, Plan
from config.prices import Price
from config.workloads import COUNTED, SaleUnit, Unit, Workload


class PriceLine(NamedTuple):
    """One line of a price list, ready to be multiplied."""

    unit: SaleUnit
    counted: tuple[Unit, ...]
    amount: int
    per: int
    """How many counted units the amount buys: a price per 10 minutes buys 600,000 milliseconds."""


def prices_for(plan: Plan, workload: Workload | None, model: str) -> tuple[PriceLine, ...]:
    """Return the lines of the plan's price list that apply: for each unit the most specific one.

    A line for workload and model beats one for the workload, which beats a default; None has defaults alone.
    """
    if plan.billing is Billing.FREE:
        return ()
    chosen: dict[SaleUnit, tuple[int, Price]] = {}
    for price in plan.prices:
        if price.workload not in (None, workload) or price.model not in (None, model):
            continue
        rank = (price.workload is not None) + (price.model is not None)
        if price.unit not in chosen or rank > chosen[price.unit][0]:
            chosen[price.unit] = rank, price
    return tuple(_line(price) for _, price in chosen.values())


def _line(price: Price) -> PriceLine:
    units, factor = COUNTED[price.unit]
    return PriceLine(price.unit, units, price.amount, price.per * factor)


def counted(unit: SaleUnit, units: Mapping[Unit, int]) -> int:
    """Return the counted units of a sale unit in `units`: `minutes` counts milliseconds, `tokens` both kinds."""
    return sum([units.get(each, 0) for each in COUNTED[unit][0]])


def amount_of(lines: Iterable[PriceLine], units: Mapping[Unit, int]) -> int:
    """Return the sum of all lines: `units / per * amount` each, rounded up to the atomic unit."""
    total = 0
    for _, counted_units, amount, per in lines:
        count = 0
        for unit in counted_units:
            count += units.get(unit, 0)
        total -= -count * amount // per  # minus the floor of the negative: rounds up
    return total


def estimate(
    lines: tuple[PriceLine, ...], upper_bound: Mapping[Unit, int], *, default: int, ceiling: int | None
) -> int:
    """Return what to reserve for a request: its price at the upper bound, else the plan's default.

    Where a priced unit has no upper bound the default is used; the plan's ceiling caps the result.
    """
    amount = amount_of(lines, upper_bound)
    if amount < default and not all(upper_bound.keys() >= set(line.counted) for line in lines):
        amount = default
    return amount if ceiling is None else min(amount, ceiling)
