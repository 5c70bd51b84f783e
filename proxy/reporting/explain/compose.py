"""Composes the explanation of a request from what is known of it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from config.runtime import Currency
from middlewares.ledger.settlement.event import Event
from middlewares.response.problem import TITLES
from middlewares.response.refusals.record import RefusalLimit, RefusalRecord
from proxy.reporting.explain.documents import (
    ExplainedDecision,
    ExplainedEvent,
    ExplainedHold,
    ExplainedLimit,
    ExplainedRefusal,
    ExplainedSettlement,
    Explanation,
    PricedLine,
    TriedGateway,
)
from proxy.reporting.explain.facts import RequestFacts
from proxy.reporting.explain.prices import EventPrice, estimate_lines, event_prices
from proxy.reporting.stream import RecordedEvent
from proxy.reporting.tables import CurrencyView

SHOWN_EVENTS = 20
"""Most events of one stream that an explanation lists, beside the requested one."""


def explanation(facts: RequestFacts, currency: Currency, *, for_operator: bool) -> Explanation:
    """Return the explanation. Origins of gateways and names of pools are for operators alone."""
    refusal, event = facts.refusal, facts.events[0].event if facts.events else None
    about = event if event else facts.open_hold.hold if facts.open_hold else refusal
    assert about is not None  # noqa: S101 - otherwise there are no facts
    hold = _hold(facts)
    return Explanation(
        id=facts.id,
        request_id=facts.request_id,
        state="settled" if event else "running" if facts.open_hold else "refused",
        app=facts.app,
        user=about.user,
        key=about.key,
        plan=about.plan,
        method=refusal.method if refusal else "",
        route=refusal.route if refusal else "",
        workload=about.workload,
        model=about.model,
        tier=event.tier if event else refusal.tier if refusal else "",
        pool=(refusal.pool or None) if refusal and for_operator else None,
        currency=CurrencyView.of(currency),
        refusal=_refusal(refusal, facts.unrecorded) if refusal else None,
        gateways=_gateways(refusal, event, for_operator=for_operator),
        hold=hold,
        estimate=_estimate(facts, refusal) if refusal and hold and hold.state in ("refused", "returned") else [],
        settlement=_settlement(facts) if facts.events else None,
    )


def _refusal(record: RefusalRecord, unrecorded: int) -> ExplainedRefusal:
    return ExplainedRefusal(
        time=_moment(record.time),
        stage=record.stage,
        code=record.code,
        title=TITLES.get(record.code, ""),
        status=record.status,
        detail=record.detail,
        rule=next((_limit(each) for each in record.limits if each.refused), None),
        others=[_limit(each) for each in record.limits if not each.refused],
        unrecorded=unrecorded,
    )


def _limit(found: RefusalLimit) -> ExplainedLimit:
    return ExplainedLimit(
        policy=found.policy,
        unit=found.unit,
        limit=found.limit,
        used=str(max(0, int(found.limit) - int(found.remaining))),
        remaining=found.remaining,
        requested=found.requested,
        reset_seconds=found.reset_seconds,
        window_seconds=found.window_seconds,
    )


def _gateways(refusal: RefusalRecord | None, event: Event | None, *, for_operator: bool) -> list[TriedGateway]:
    failed: Sequence[Sequence[str]] = refusal.failed_attempts if refusal else ()
    if event is not None:
        failed = [each.split(" ") for each in event.failed_attempts.split(", ") if each]
    tried = [(gateway, code, 0) for gateway, code in failed]
    if event is not None and event.gateway_status:
        if tried and tried[-1][0] == event.gateway:  # it failed in the middle of its response
            tried[-1] = (*tried[-1][:2], event.gateway_status)
        else:
            tried.append((event.gateway, "", event.gateway_status))
    return [
        TriedGateway(number=number, gateway=gateway if for_operator else None, code=code, status=status)
        for number, (gateway, code, status) in enumerate(tried, 1)
    ]


def _hold(facts: RequestFacts) -> ExplainedHold | None:
    refusal = facts.refusal
    if facts.events:
        event = facts.events[0].event
        if event.type == "credit":
            return None
        units = dict(refusal.units) if refusal else {}
        return ExplainedHold(state="settled", amount=event.held, units=units, expires=None)
    if facts.open_hold is not None:
        hold, expires = facts.open_hold.hold, _moment(facts.open_hold.expires_ms)
        return ExplainedHold(state="open", amount=hold.estimate, units=hold.units, expires=expires)
    if refusal is None or not (refusal.units or refusal.admitted):  # refused before anything was to be reserved
        return None
    state = "returned" if refusal.admitted else "refused"
    return ExplainedHold(state=state, amount=refusal.estimate, units=dict(refusal.units), expires=None)


def _estimate(facts: RequestFacts, refusal: RefusalRecord) -> list[PricedLine]:
    plan, amount = facts.plans.get(refusal.plan), int(refusal.estimate)
    return estimate_lines(plan, refusal.workload, refusal.model, refusal.units, amount)


def _settlement(facts: RequestFacts) -> ExplainedSettlement:
    prices = event_prices(facts.events, facts.plans)
    both = list(zip(facts.events, prices, strict=True))
    first = max(0, len(both) - SHOWN_EVENTS)
    shown = [each for number, each in enumerate(both) if number >= first or each[0].event.id == facts.id]
    return ExplainedSettlement(
        charged=str(sum(int(each.amount) for each in facts.events)),
        agrees=_all_agree(prices),
        event_count=len(both),
        events=[_event(recorded, price) for recorded, price in shown],
        decision=ExplainedDecision(decision=facts.resolution[0], amount=str(facts.resolution[1]))
        if facts.resolution
        else None,
    )


def _all_agree(prices: Sequence[EventPrice]) -> bool | None:
    if any(each.agrees is False for each in prices):
        return False
    return None if any(each.agrees is None for each in prices) else True


def _event(recorded: RecordedEvent, price: EventPrice) -> ExplainedEvent:
    event = recorded.event
    return ExplainedEvent(
        id=event.id,
        type=event.type,
        part=event.part,
        started=_moment(event.started),
        time=_moment(event.time),
        plan=event.plan,
        plan_known=price.agrees is not None,
        outcome=event.outcome,
        status=event.status,
        gateway_status=event.gateway_status,
        error=event.error,
        duration_ms=event.duration_ms,
        fallback=event.fallback,
        requested_model=event.requested_model,
        units=event.units,
        provenance=dict(event.provenance),
        lines=price.lines,
        amount=recorded.amount,
        wallet=recorded.wallet,
    )


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)
