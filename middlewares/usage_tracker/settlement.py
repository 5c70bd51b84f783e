"""Settlement of one request: its outcome, its units and amount by what was measured and by the plan's rules."""

from __future__ import annotations

from msgspec import structs

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.exchange import Exchange, Outcome
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Provenance, Usage
from middlewares.ledger.settlement.request_event import event_of
from middlewares.routing.traits import Measure
from middlewares.usage_tracker.meters import Meter

LARGEST_COUNT = 2**48
"""Largest believable count of one unit in one request; a signed 64-bit counter has room for 32,768 of them."""


def settle(ledger: Ledger, exchange: Exchange, meter: Meter, now: float) -> None:
    """End the exchange's hold: with a usage event if the gateway was sent the request, else by releasing it.

    `now` is `time.monotonic`, in seconds. Never raises for what a client or gateway did.
    """
    hold, policy, route = exchange.hold, exchange.policy, exchange.route
    if hold is None or policy is None or route is None:
        return
    if not exchange.forwarded:
        ledger.release(hold)
        return
    metered = drop_unbelievable(meter.usage())
    if gateway_failed(exchange, metered):
        exchange.end(Outcome.UPSTREAM_ERROR)
    outcome = exchange.ending.outcome
    responded = exchange.upstream_seconds is not None
    caused = None
    if outcome is Outcome.CLIENT_DISCONNECT and not metered.complete and causes_all(exchange):
        caused = drop_unbelievable(caused_usage(meter))
    usage = charged_usage(policy.plan, route.workload, outcome, metered, hold.units, responded=responded, caused=caused)
    milliseconds = round((now - exchange.started) * 1000)
    if Unit.REQUESTS in usage.units and Unit.MILLISECONDS not in usage.units:
        # The wall time of work that counts: its meter has no better time.
        usage.units[Unit.MILLISECONDS] = milliseconds
        usage.provenance[Unit.MILLISECONDS] = Provenance.MEASURED
    gross, fixed = ledger.price(policy, route.workload, hold.model, usage.units)
    exchange.units, exchange.amount = usage.units, gross
    ledger.settle(hold, event_of(ledger, exchange, hold, usage, milliseconds), usage, fixed)


def gateway_failed(exchange: Exchange, usage: Usage) -> bool:
    """Return True if the gateway failed at the work, whatever status its response had.

    A success that its meter finds incomplete is a failure. A gateway that refuses the request (4xx) has responded
    completely, and nothing was used.
    """
    status = exchange.client_status or exchange.gateway_status
    return status >= 500 or (status < 400 and not usage.complete)


def causes_all(exchange: Exchange) -> bool:
    """Return True if the gateway does the whole work although its client has left: it has the whole request.

    Not so for streams, which end with their client, for work that is paid for by the time it takes, and for a request
    that the gateway has refused or failed.
    """
    route, document = exchange.route, exchange.declared.document or {}
    return (
        route is not None
        and route.begins_work
        and route.meter not in (Measure.WALL_TIME, Measure.STREAM_TIME)
        and document.get("stream") is not True
        and exchange.body_passed
        and exchange.gateway_status < 300
    )


def caused_usage(meter: Meter) -> Usage:
    """Return what work costs that the gateway finishes: what a meter says of a success that it cannot read."""
    meter.response_start(200, [(b"content-encoding", b"unknown")])
    meter.response_body(b"?")
    units = dict(meter.usage().units)
    return Usage(units, dict.fromkeys(units, Provenance.ESTIMATED), complete=False)


def drop_unbelievable(usage: Usage) -> Usage:
    """Return usage without counts that no request can have: a gateway may report any, and counters are finite."""
    counts = usage.units.values()
    if not counts or (min(counts) >= 0 and max(counts) <= LARGEST_COUNT):
        return usage
    units = {unit: count for unit, count in usage.units.items() if 0 <= count <= LARGEST_COUNT}
    provenance = {unit: source for unit, source in usage.provenance.items() if unit in units}
    return structs.replace(usage, units=units, provenance=provenance, attention=True)


def charged_usage(
    plan: Plan,
    workload: Workload,
    outcome: Outcome,
    usage: Usage,
    upper_bound: dict[Unit, int],
    *,
    responded: bool,
    caused: Usage | None = None,
) -> Usage:
    """Return the part of the measured usage that is charged, by the plan's rule for this workload and outcome.

    `measured` charges for the delivered part of a response that was cut off; without a response (`responded`), nothing
    was delivered. `caused` charges what the client that left has caused, `caused`; None: no more than was delivered. An
    explicit zero stays a zero.
    """
    if outcome is Outcome.COMPLETE:
        return usage
    rule: str = "measured"
    if outcome in (Outcome.UPSTREAM_ERROR, Outcome.GATE_SHUTDOWN, Outcome.INTERNAL_ERROR):
        rule = plan.failure_rule(workload) if responded else "free"
    elif outcome in (Outcome.CLIENT_DISCONNECT, Outcome.REFUSED):
        rule = plan.disconnect_rule(workload)
    if rule == "free":
        return Usage(complete=False, finish_reason=usage.finish_reason, attention=usage.attention)
    if rule == "caused" and caused is not None:
        return caused
    if rule == "estimate":
        estimated = dict.fromkeys(upper_bound, Provenance.ESTIMATED)
        return Usage(dict(upper_bound), estimated, complete=False, attention=usage.attention)
    return usage
