"""The price of an event, line by line, computed again from the plan version that it names. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from config.plans import Plan
from config.workloads import SaleUnit, Unit, Workload
from middlewares.ledger.admission.pricing import PriceLine, amount_of, counted, prices_for
from middlewares.ledger.resolution.resolve import SUFFIX as DECISION
from proxy.reporting.explain.documents import PricedLine
from proxy.reporting.stream import RecordedEvent

ORPHANED = "orphaned"


class EventPrice(NamedTuple):
    """The lines of one event."""

    lines: list[PricedLine]
    agrees: bool | None
    """True if they give the event's amount; None: the version of the plan is not known."""


def event_prices(events: Sequence[RecordedEvent], plans: Mapping[str, Plan | None]) -> list[EventPrice]:
    """Return the price of each event of one request or stream, in the order of `RequestFacts.events`.

    A tick costs what all time so far costs, less what was charged for it before, and an adjustment what the true usage
    costs, less the charge that it corrects.
    """
    used: Counter[Unit] = Counter()
    orphan: int | None = None
    found: list[EventPrice] = []
    for recorded in events:
        event, amount = recorded.event, int(recorded.amount)
        if event.type == "credit":
            found.append(EventPrice([], agrees=True))
        elif event.id.endswith(DECISION):
            found.append(EventPrice([_flat("decision", amount)], agrees=True))
        elif event.type == "usage" and event.outcome == ORPHANED:
            found.append(EventPrice([_flat("hold", amount)] if amount else [], agrees=True))
            used.update(event.units)
            orphan = amount
        else:
            before = Counter[Unit]() if orphan is not None else Counter(used)
            used.update(event.units)
            found.append(_priced(recorded, plans.get(event.plan), used, before, orphan or 0))
    return found


def estimate_lines(
    plan: Plan | None, workload: Workload | None, model: str, units: Mapping[Unit, int], amount: int
) -> list[PricedLine]:
    """Return the lines of an amount that was to be reserved for the upper bound `units`; none without a plan."""
    if plan is None or workload is None:
        return []
    lines = [_line(each, units, {}) for each in prices_for(plan, workload, model)]
    rest = amount - _sum(lines)
    return [*lines, _flat("bounds", rest)] if rest else lines


def _priced(
    recorded: RecordedEvent, plan: Plan | None, after: Mapping[Unit, int], before: Mapping[Unit, int], orphan: int
) -> EventPrice:
    """Return the price of all units so far, `after`, less that of `before`, less `orphan`: the charge of a hold."""
    event, amount = recorded.event, int(recorded.amount)
    if plan is None or event.workload is None:
        return EventPrice([], agrees=None)
    prices = prices_for(plan, event.workload, event.model)
    lines = [_line(each, after, before) for each in prices]
    lines = [each for each in lines if each.quantity != "0" or each.amount != "0"]
    if orphan:
        lines.append(_flat("hold returned", -orphan))
    rest = amount - _sum(lines)
    if not rest or not plan.allowances:
        return EventPrice(lines, agrees=not rest)
    most = _most_included(plan, prices, after)
    # past an allowance, ticks are rounded up together with those of the user's other streams
    least = -len(plan.allowances) if event.part else 0
    return EventPrice([*lines, _flat("included", rest)], agrees=event.type == "adjustment" or least <= -rest <= most)


def _most_included(plan: Plan, prices: Iterable[PriceLine], units: Mapping[Unit, int]) -> int:
    """Return the most that allowances can pay for these units: all of it where money is included."""
    allowed = {each.unit for each in plan.allowances}
    return amount_of([each for each in prices if SaleUnit.AMOUNT in allowed or each.unit in allowed], units)


def _line(price: PriceLine, after: Mapping[Unit, int], before: Mapping[Unit, int]) -> PricedLine:
    amount = amount_of([price], after) - amount_of([price], before)
    quantity = counted(price.unit, after) - counted(price.unit, before)
    return PricedLine(
        what=price.unit, quantity=str(quantity), price=str(price.amount), per=str(price.per), amount=str(amount)
    )


def _flat(what: str, amount: int) -> PricedLine:
    return PricedLine(what=what, quantity=None, price=None, per=None, amount=str(amount))


def _sum(lines: Iterable[PricedLine]) -> int:
    return sum(int(each.amount) for each in lines)
