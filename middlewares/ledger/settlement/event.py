"""The usage event: the one record of a forwarded request; and the record of a change of credits by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from config.workloads import Unit, Workload
from middlewares.ledger.model import Hold

SOURCE = "tollgate"


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """One record of the usage stream, where its `amount` (a decimal string of atomic units) stands beside it."""

    id: str
    """The request id; of an adjustment `<request id>-adjustment`, of credits `credit-<app>-<reference>`, of another
    change of the same payment `credit.<number>-<app>-<reference>`, of an expired lot `<lot>-expired`, of a tick of a
    live session `<session>-<part>`."""
    time: int
    """When it ended, Redis time in Unix milliseconds; decides its day and month."""
    started: int
    """When it was admitted, likewise."""
    app: str
    user: str | None
    key: str | None
    plan: str
    """Name and version of the plan it was priced under; empty for credits."""
    workload: Workload | None
    """None for credits."""
    model: str
    outcome: str
    """How a request ended; for credits `granted` or `debited` by hand, `expired`, or of a payment `paid`, `refunded`,
    `disputed` or `reinstated`."""
    type: Literal["usage", "adjustment", "credit"] = "usage"
    """What its amount is: the price of a request, a correction of it, or credits put in (negative: taken out)."""
    units: dict[Unit, int] = {}
    provenance: Mapping[Unit, str] = {}
    network_units: int | None = None
    """What the gateway pays orchestrators by, if the work was done and it is known; its unit is the workload's."""
    status: int = 0
    """HTTP status the client was sent; 0: none."""
    gateway_status: int = 0
    """HTTP status of the gateway's response; 0: there was none."""
    error: str = ""
    finish_reason: str = ""
    gateway: str = ""
    failed_attempts: str = ""
    """Gateways that failed it, in order, each `<origin> <code>`, with `, ` between them; empty: none did."""
    tier: str = ""
    duration_ms: int = 0
    upstream_ms: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    part: int = 0
    """Number of the tick of a live session, from 1; 0: a request. Only the first tick counts as a request."""
    attention: bool = False
    """True: a person should look at it; the plan asks for that, or the gateway reported more than was requested."""
    held: str = "0"
    """What was reserved for it, in atomic units."""
    reserved_amount: str = ""
    """What was reserved for an orphan that needs attention, in atomic units; empty for all others."""
    reference: str = ""
    """The operator's own name for a change of credits."""
    note: str = ""
    """A remark on a change of credits, for people."""
    fallback: str = ""
    """Policy of the limit that would have refused it, had its plan no fallback; empty: none did."""
    requested_model: str = ""
    """The requested model, where a fallback has put `model` in its place."""
    lot: str = ""
    """Lot that a grant has made, or that has expired; empty: none."""


ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(Event)


def of_hold(hold: Hold, time_ms: int, outcome: str) -> Event:
    """Return the event that ends a hold, without what was used: the caller adds that."""
    return Event(
        id=hold.request_id,
        time=time_ms,
        started=hold.started_ms,
        app=hold.app,
        user=hold.user,
        key=hold.key,
        plan=hold.plan,
        workload=hold.workload,
        model=hold.model,
        outcome=outcome,
        fallback=hold.fallback,
        requested_model=hold.requested_model,
        part=hold.part,
        held=hold.estimate,
    )


def orphaned(hold: Hold, time_ms: int) -> Event:
    """Return the event of a hold whose owner died before it could report what was used."""
    event = of_hold(hold, time_ms, "orphaned")
    if hold.on_orphan == "estimate":
        event.units, event.provenance = dict(hold.units), dict.fromkeys(hold.units, "estimated")
    event.duration_ms = max(0, time_ms - hold.started_ms)
    event.attention = hold.on_orphan == "attention"
    if event.attention:  # what it costs in full, should a person decide so
        event.reserved_amount = hold.estimate
    return event


def cloud_event(event: Event, amount: str, currency: str) -> dict[str, Any]:
    """Return the event as CloudEvents 1.0 JSON: unique by (source, id), its subject the app or `app:user`."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": SOURCE,
        "type": f"tollgate.{event.type}",
        "subject": f"{event.app}:{event.user}" if event.user else event.app,
        "time": iso(event.time),
        "datacontenttype": "application/json",
        "data": plain(event, amount) | {"currency": currency},
    }


def plain(event: Event, amount: str) -> dict[str, Any]:
    """Return the event as one flat JSON object with readable times, every field present."""
    fields: dict[str, Any] = {name: getattr(event, name) for name in event.__struct_fields__}
    return fields | {"time": iso(event.time), "started": iso(event.started), "amount": amount}


def iso(time_ms: int) -> str:
    """Return Unix milliseconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
