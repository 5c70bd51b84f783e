"""The usage event of one forwarded request, from what its exchange, hold and meter say."""

from __future__ import annotations

from middlewares.exchange import Exchange
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Hold, Usage
from middlewares.ledger.settlement.event import Event
from middlewares.ledger.settlement.network_units import network_units


def event_of(ledger: Ledger, exchange: Exchange, hold: Hold, usage: Usage, milliseconds: int) -> Event:
    """The usage event of an exchange that took this long."""
    upstream = exchange.upstream_seconds
    return Event(  # by position: to find so many by name would take longer than all the rest
        hold.request_id,
        max(hold.started_ms, ledger.clock.now_ms()),
        hold.started_ms,
        hold.app,
        hold.user,
        hold.key,
        hold.plan,
        hold.workload,
        hold.model,
        exchange.outcome,
        "usage",
        usage.units,
        usage.provenance,
        network_units(hold.workload, exchange.declared, usage.units),
        exchange.status,
        exchange.error,
        usage.finish_reason,
        exchange.gateway,
        exchange.tier,
        milliseconds,
        None if upstream is None else round(upstream * 1000),
        exchange.bytes_in,
        exchange.bytes_out,
        hold.part,
    )
