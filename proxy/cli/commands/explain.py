"""`tollgate explain`: prints why a request was refused, or what it was charged, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.inputs import free_text
from proxy.cli.output import Json, print_json
from proxy.cli.session import operate

if TYPE_CHECKING:
    from proxy.reporting.explain.documents import (
        ExplainedEvent,
        ExplainedLimit,
        ExplainedRefusal,
        ExplainedSettlement,
        Explanation,
        PricedLine,
    )

LONGEST_ID = 600
_HOLDS = {
    "refused": "would have reserved",
    "open": "reserves",
    "returned": "reserved, and gave back,",
    "settled": "reserved",
}


def explain(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="X-Request-ID of a response, or the id of an event.")],
    as_json: Json = False,
) -> None:
    """Explain why a request was refused, or what it was charged, and why."""
    wanted = free_text("ID", request_id, LONGEST_ID)
    found = operate(lambda operations: operations.events.explain(wanted))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for line in text_of(found):
        typer.echo(line)


def text_of(found: Explanation) -> Iterator[str]:
    """Yield the explanation for people, line by line."""
    what = " ".join(each for each in (found.method, found.workload or found.route, found.model) if each)
    yield f"{found.request_id}: {found.state}{f', {what}' if what else ''}"
    named = {"app": found.app, "user": found.user, "key": found.key, "plan": found.plan, "tier": found.tier}
    yield "  " + ", ".join(f"{name} {value}" for name, value in named.items() if value)
    if found.refusal:
        yield from _refusal(found.refusal)
    for tried in found.gateways:
        said = ", ".join(each for each in (tried.code, f"status {tried.status}" if tried.status else "") if each)
        yield f"gateway {tried.number} ({tried.gateway}): {said}"
    if found.hold:
        units = ", ".join(f"{number} {unit}" for unit, number in found.hold.units.items())
        yield f"hold: it {_HOLDS[found.hold.state]} {found.hold.amount}{f' for at most {units}' if units else ''}"
        yield from map(_line, found.estimate)
    if found.settlement:
        yield from _settlement(found.settlement)


def _refusal(refusal: ExplainedRefusal) -> Iterator[str]:
    yield f"refused by {refusal.stage} at {refusal.time:%Y-%m-%d %H:%M:%S} UTC: {refusal.status} {refusal.code}"
    yield f"  {refusal.detail}"
    if refusal.rule:
        yield f"  rule {_limit(refusal.rule)}; the request needed {refusal.rule.requested}"
    for other in refusal.others:
        yield f"  beside it {_limit(other)}"
    if refusal.unrecorded:
        yield f"  {refusal.unrecorded} more refusals by this rule were counted only"


def _limit(limit: ExplainedLimit) -> str:
    return f"{limit.policy}: {limit.used} of {limit.limit} {limit.unit} were used"


def _settlement(settlement: ExplainedSettlement) -> Iterator[str]:
    agrees = {True: "which its lines add up to", False: "which its lines do NOT add up to", None: "by a plan not known"}
    yield f"charged: {settlement.charged}, {agrees[settlement.agrees]}"
    if settlement.event_count > len(settlement.events):
        yield f"  {len(settlement.events)} of {settlement.event_count} events are shown"
    for event in settlement.events:
        yield from _event(event)
    if settlement.decision:
        yield f"  decision: {settlement.decision.decision}, {settlement.decision.amount}"


def _event(event: ExplainedEvent) -> Iterator[str]:
    paid = f" from the wallet of the {event.wallet}" if event.wallet else ""
    yield f"  {event.id} ({event.plan}): {event.outcome}, status {event.status}, {event.amount}{paid}"
    for unit, number in event.units.items():
        yield f"    {number} {unit} ({event.provenance.get(unit, 'not known how')})"
    for line in event.lines:
        yield f"  {_line(line)}"


def _line(line: PricedLine) -> str:
    counted = f"{line.quantity} x {line.price} / {line.per} = " if line.quantity is not None else ""
    return f"  {line.what}: {counted}{line.amount}"
