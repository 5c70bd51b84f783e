"""The usage event of one forwarded request, from what its exchange, hold and meter say."""

from __future__ import annotations

from middlewares.exchange import Exchange
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Hold, Usage
from middlewares.ledger.settlement.event import Event, of_hold
from middlewares.ledger.settlement.network_units import network_units


def event_of(ledger: Ledger, exchange: Exchange, hold: Hold, usage: Usage, milliseconds: int) -> Event:
    """Return the usage event of an exchange that took `milliseconds`."""
    upstream, ending = exchange.upstream_seconds, exchange.ending
    event = of_hold(hold, max(hold.started_ms, ledger.clock.now_ms()), ending.outcome)
    event.units = usage.units
    event.provenance = usage.provenance
    event.network_units = network_units(hold.workload, exchange.declared, {**usage.units, **usage.network})
    event.status = exchange.client_status or ending.status or exchange.gateway_status
    event.gateway_status = exchange.gateway_status
    event.error = ending.code
    event.finish_reason = usage.finish_reason
    event.gateway = exchange.gateway
    if exchange.failed_attempts:
        event.failed_attempts = ", ".join(f"{gateway} {code}" for gateway, code in exchange.failed_attempts)
    event.tier = exchange.tier
    event.duration_ms = milliseconds
    event.upstream_ms = None if upstream is None else round(upstream * 1000)
    event.bytes_in = exchange.bytes_in
    event.bytes_out = exchange.bytes_out
    event.attention = usage.attention
    return event
