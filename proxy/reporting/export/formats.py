"""Formats of usage events for other systems. Each keeps the event's id, by which receivers find duplicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from middlewares.ledger.settlement.event import SOURCE, cloud_event, iso

if TYPE_CHECKING:
    from proxy.reporting.stream import RecordedEvent

_FACTS = ("app", "user", "key", "plan", "workload", "model", "type", "outcome", "status", "gateway", "tier")


class FormatName(StrEnum):
    """Names of the export formats."""

    CLOUDEVENTS = "cloudevents"
    OPENMETER = "openmeter"
    LAGO = "lago"
    STRIPE = "stripe"


_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ReceiverNames:
    """Names that operator and receiver have agreed on."""

    currency: str
    """Code of the deployment's currency."""
    meter: str | None = None
    """Lago's billable metric or Stripe's event name; None: the event's workload."""
    customers: Mapping[str, str] = field(default_factory=dict)
    """Customer ids by client id; an app that is not listed is its own customer."""

    value: str = "amount"
    """What Stripe's meter adds up: `amount`, or the name of a unit."""

    def value_of(self, recorded: RecordedEvent) -> str:
        """Return the decimal string that the meter adds up."""
        if self.value == "amount":
            return recorded.amount
        return str(next((number for unit, number in recorded.event.units.items() if unit == self.value), 0))

    def meter_of(self, recorded: RecordedEvent) -> str:
        return self.meter or recorded.event.workload or recorded.event.type

    def customer_of(self, recorded: RecordedEvent) -> str:
        return self.customers.get(recorded.event.app, recorded.event.app)


@dataclass(frozen=True, slots=True)
class EventFormat:
    """A format of events, as lines of JSON and as the body of a request."""

    content_type: str
    write: Callable[[RecordedEvent, ReceiverNames], dict[str, Any]]
    wrap: Callable[[list[dict[str, Any]]], Any]
    known: Callable[[int, bytes], bool] = lambda status, _: status == 409
    """Function that returns True if a refusal (HTTP status, body) of one event means that it is there already."""
    usage_only: bool = False
    """True for receivers that cannot tell a grant of credits from usage, and would bill it."""

    def select(self, batch: Sequence[RecordedEvent]) -> list[RecordedEvent]:
        """Return the events of a batch that are for this receiver."""
        return [each for each in batch if not (self.usage_only and each.event.type == "credit")]

    def lines(self, batch: Sequence[RecordedEvent], names: ReceiverNames) -> bytes:
        """Return a line of JSON for each event."""
        return b"".join(_encode(self.write(each, names)) + b"\n" for each in self.select(batch))

    def body(self, batch: Sequence[RecordedEvent], names: ReceiverNames) -> bytes:
        """Return a request body of several selected events."""
        return _encode(self.wrap([self.write(recorded, names) for recorded in batch]))


def _facts(recorded: RecordedEvent, names: ReceiverNames) -> dict[str, Any]:
    """Return what can be grouped and summed, on one level and without unknown values. Money stays a string."""
    event = recorded.event
    facts = {name: value for name in _FACTS if (value := getattr(event, name)) not in (None, "")}
    return facts | event.units | {"amount": recorded.amount, "currency": names.currency}


def _cloudevents(recorded: RecordedEvent, names: ReceiverNames) -> dict[str, Any]:
    return cloud_event(recorded.event, recorded.amount, names.currency)


def _openmeter(recorded: RecordedEvent, names: ReceiverNames) -> dict[str, Any]:
    """Return a CloudEvent with flat data, where meters find values and groups by plain paths such as `$.pixels`."""
    event = recorded.event
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": SOURCE,
        "type": f"tollgate.{event.type}",
        "subject": names.customer_of(recorded),
        "time": iso(event.time),
        "data": _facts(recorded, names),
    }


def _lago(recorded: RecordedEvent, names: ReceiverNames) -> dict[str, Any]:
    """Return an event of `POST /api/v1/events/batch`; the app's subscription there carries the customer's id."""
    event = recorded.event
    return {
        "transaction_id": event.id,
        "external_subscription_id": names.customer_of(recorded),
        "code": names.meter_of(recorded),
        "timestamp": f"{event.time // 1_000}.{event.time % 1_000:03d}",
        "properties": _facts(recorded, names),
    }


def _stripe(recorded: RecordedEvent, names: ReceiverNames) -> dict[str, Any]:
    """Return a meter event; `value` is what the meter adds up, units have their own names."""
    event = recorded.event
    units = {unit: str(number) for unit, number in event.units.items()}
    return {
        "event_name": names.meter_of(recorded),
        "identifier": event.id,
        "timestamp": iso(event.time),
        "payload": {"stripe_customer_id": names.customer_of(recorded), "value": names.value_of(recorded), **units},
    }


def _list(events: list[dict[str, Any]]) -> Any:
    return events


def _events(events: list[dict[str, Any]]) -> Any:
    return {"events": events}


def _known_to_lago(status: int, body: bytes) -> bool:
    return status == 409 or (status == 422 and b"transaction_id" in body and b"value_already_exist" in body)


FORMATS: dict[FormatName, EventFormat] = {
    FormatName.CLOUDEVENTS: EventFormat("application/cloudevents-batch+json", _cloudevents, _list),
    FormatName.OPENMETER: EventFormat("application/cloudevents-batch+json", _openmeter, _list),
    FormatName.LAGO: EventFormat("application/json", _lago, _events, _known_to_lago, usage_only=True),
    FormatName.STRIPE: EventFormat("application/json", _stripe, _events, usage_only=True),
}
