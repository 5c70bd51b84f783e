"""The usage event of one forwarded request, from what its exchange, hold and meter say."""

from __future__ import annotations

from middlewares.exchange import Exchange
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Hold, Usage
from middlewares.ledger.settlement.event import Event
from middlewares.ledger.settlement.network_units import network_units


def event_of(ledger: Ledger, exchange: Exchange, hold: Hold, usage: Usage, milliseconds: int) -> Event:
    """Return the usage event of an exchange that took `milliseconds`."""
    upstream, ending = exchange.upstream_seconds, exchange.ending
    return Event(
        id=hold.request_id,
        time=max(hold.started_ms, ledger.clock.now_ms()),
        started=hold.started_ms,
        app=hold.app,
        user=hold.user,
        key=hold.key,
        plan=hold.plan,
        workload=hold.workload,
        model=hold.model,
        outcome=ending.outcome,
        units=usage.units,
        provenance=usage.provenance,
        network_units=network_units(hold.workload, exchange.declared, {**usage.units, **usage.network}),
        status=exchange.client_status or ending.status or exchange.gateway_status,
        gateway_status=exchange.gateway_status,
        error=ending.code,
        finish_reason=usage.finish_reason,
        gateway=exchange.gateway,
        tier=exchange.tier,
        duration_ms=milliseconds,
        upstream_ms=None if upstream is None else round(upstream * 1000),
        bytes_in=exchange.bytes_in,
        bytes_out=exchange.bytes_out,
        part=hold.part,
        attention=usage.attention,
    )
