"""Prices: units times price list to amounts, all in integers of the atomic unit."""

from collections.abc import Iterable, Mapping

from config.plans import Billing, Plan, Price
from config.workloads import COUNTED, SaleUnit, Unit, Workload


def prices_for(plan: Plan, workload: Workload, model: str) -> tuple[Price, ...]:
    """The lines of the plan's price list that apply: for each unit the most specific one.

    A line for workload and model beats one for the workload, which beats a default.
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
    return tuple(price for _, price in chosen.values())


def counted(unit: SaleUnit, units: Mapping[Unit, int]) -> int:
    """How many counted units of a sale unit are in `units`: `minutes` counts milliseconds, `tokens` both kinds."""
    return sum(units.get(each, 0) for each in COUNTED[unit][0])


def line_amount(price: Price, units: Mapping[Unit, int]) -> int:
    """Amount of one price line: `units / per * amount`, rounded up to the atomic unit."""
    return -(-counted(price.unit, units) * price.amount // denominator(price))


def denominator(price: Price) -> int:
    """How many counted units the line's amount buys: a price per 10 minutes buys 600,000 milliseconds."""
    return price.per * COUNTED[price.unit][1]


def amount_of(prices: Iterable[Price], units: Mapping[Unit, int]) -> int:
    """The sum of all lines."""
    return sum(line_amount(price, units) for price in prices)


def estimate(plan: Plan, prices: tuple[Price, ...], upper_bound: Mapping[Unit, int]) -> int:
    """What to reserve for a request: its price at the upper bound, else the plan's default.

    Where a priced unit has no upper bound the default stands in for it; the plan's ceiling caps the result.
    """
    bounded = all(unit in upper_bound for price in prices for unit in COUNTED[price.unit][0])
    amount = amount_of(prices, upper_bound)
    if not bounded:
        amount = max(amount, plan.holds.default)
    return amount if plan.holds.ceiling is None else min(amount, plan.holds.ceiling)
