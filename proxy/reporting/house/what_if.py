"""What the usage that the ledger has recorded would have cost under another plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.plans import Billing, Plan
from config.workloads import SaleUnit, Unit, Workload
from middlewares.ledger.admission.pricing import amount_of, prices_for
from proxy.reporting.totals import Breakdown, UsageTotal

_KNOWN: Mapping[str, Workload] = {each.value: each for each in Workload}


@dataclass(frozen=True, slots=True)
class WhatIfLine:
    """The usage of one workload and model."""

    workload: str
    model: str
    total: UsageTotal
    """What was used, and what it did cost."""
    amount: int
    """What it would have cost."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The cost of the same usage under a plan, in atomic units."""

    lines: Sequence[WhatIfLine]
    fee: int
    """The plan's fee for everybody who used something."""
    rounding: int
    """The most that it would have been more, because every request is rounded up by itself; mostly 0."""
    at_most: bool
    """True: it would have been less, if anything. The plan includes usage, which is not taken off here; or it sells
    requests, of which the running totals also count those that failed and cost nothing."""

    @property
    def usage(self) -> int:
        """Return the sum of the lines."""
        return sum(each.amount for each in self.lines)

    @property
    def amount(self) -> int:
        """Return what it would have cost in all."""
        return self.usage + self.fee


def what_if(plan: Plan, usage: Breakdown, users: int) -> WhatIf:
    """Return what a month's `usage`, broken down by workload and model, would have cost under `plan`.

    `users` is how many used something, the app itself among them where it did. A plan has no price for units that only
    another version of Tollgate counts, and for a workload that only another one knows it has those of all workloads.
    """
    lines, rounding, sells_requests = [], 0, False
    for (workload, model), total in usage.rows():
        prices = prices_for(plan, _KNOWN.get(workload), model)
        units = {Unit.REQUESTS: total.requests, **{unit: total.units[unit] for unit in total.units_used}}
        lines.append(WhatIfLine(workload, model, total, amount_of(prices, units)))
        rounding += total.requests * sum(1 for each in prices if each.amount % each.per)
        sells_requests |= any(each.unit is SaleUnit.REQUESTS for each in prices)
    return WhatIf(
        lines=lines,
        fee=fee_of(plan, users),
        rounding=rounding,
        at_most=bool(plan.allowances) or sells_requests,
    )


def fee_of(plan: Plan, users: int) -> int:
    """Return the fee of a plan for a month in which so many used something."""
    return plan.fee * users if plan.billing is Billing.SUBSCRIPTION else 0
