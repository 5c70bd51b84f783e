"""How other systems want a usage event. Each keeps the event's id, by which its receiver tells repetitions apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from middlewares.ledger.settlement.event import SOURCE, cloud_event, iso

if TYPE_CHECKING:
    from proxy.reporting.stream import Recorded

_FACTS = ("app", "user", "key", "plan", "workload", "model", "type", "outcome", "status", "gateway", "tier")


class FormatName(StrEnum):
    """What an exporter can write."""

    CLOUDEVENTS = "cloudevents"
    OPENMETER = "openmeter"
    LAGO = "lago"
    STRIPE = "stripe"


_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Names:
    """What the operator and the receiver have agreed to call things."""

    currency: str
    """Code of the deployment's currency."""
    meter: str | None = None
    """Lago's billable metric or Stripe's event name; None: the event's workload."""
    customers: Mapping[str, str] = field(default_factory=dict)
    """App to customer; an app that is not listed is its own customer."""

    def meter_of(self, recorded: Recorded) -> str:
        return self.meter or recorded.event.workload or recorded.event.type

    def customer_of(self, recorded: Recorded) -> str:
        return self.customers.get(recorded.event.app, recorded.event.app)


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write events: one by one, and many as the body of a request."""

    content_type: str
    write: Callable[[Recorded, Names], dict[str, Any]]
    wrap: Callable[[list[dict[str, Any]]], Any]
    known: Callable[[int, bytes], bool] = lambda status, _: status == 409
    """Whether a refusal (HTTP status, body) of a single event says that the receiver has it already."""
    usage_only: bool = False
    """For receivers that would bill a grant of credits, since they cannot tell it from usage."""

    def select(self, batch: Sequence[Recorded]) -> list[Recorded]:
        """What of a batch is for this receiver."""
        return [each for each in batch if not (self.usage_only and each.event.type == "credit")]

    def lines(self, batch: Sequence[Recorded], names: Names) -> bytes:
        """A line of JSON for each event."""
        return b"".join(_encode(self.write(each, names)) + b"\n" for each in self.select(batch))

    def body(self, batch: Sequence[Recorded], names: Names) -> bytes:
        """A request body of several events, which have been selected."""
        return _encode(self.wrap([self.write(recorded, names) for recorded in batch]))


def _facts(recorded: Recorded, names: Names) -> dict[str, Any]:
    """What can be grouped and summed, on one level and without what is not known. Money stays a string."""
    event = recorded.event
    facts = {name: value for name in _FACTS if (value := getattr(event, name)) not in (None, "")}
    return facts | event.units | {"amount": recorded.amount, "currency": names.currency}


def _cloudevents(recorded: Recorded, names: Names) -> dict[str, Any]:
    return cloud_event(recorded.event, recorded.amount, names.currency)


def _openmeter(recorded: Recorded, names: Names) -> dict[str, Any]:
    """A CloudEvent with flat data, where meters find values and groups by plain paths such as `$.pixels`."""
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


def _lago(recorded: Recorded, names: Names) -> dict[str, Any]:
    """An event of `POST /api/v1/events/batch`; the app's subscription there carries the customer's id."""
    event = recorded.event
    return {
        "transaction_id": event.id,
        "external_subscription_id": names.customer_of(recorded),
        "code": names.meter_of(recorded),
        "timestamp": f"{event.time // 1_000}.{event.time % 1_000:03d}",
        "properties": _facts(recorded, names),
    }


def _stripe(recorded: Recorded, names: Names) -> dict[str, Any]:
    """An event of `POST /v2/billing/meter_event_stream`; `value` is the amount, and every unit is there by name."""
    event = recorded.event
    units = {unit: str(number) for unit, number in event.units.items()}
    return {
        "event_name": names.meter_of(recorded),
        "identifier": event.id,
        "timestamp": iso(event.time),
        "payload": {"stripe_customer_id": names.customer_of(recorded), "value": recorded.amount, **units},
    }


def _list(events: list[dict[str, Any]]) -> Any:
    return events


def _events(events: list[dict[str, Any]]) -> Any:
    return {"events": events}


def _known_to_lago(status: int, body: bytes) -> bool:
    return status == 409 or (status == 422 and b"transaction_id" in body and b"value_already_exist" in body)


FORMATS: dict[FormatName, Format] = {
    FormatName.CLOUDEVENTS: Format("application/cloudevents-batch+json", _cloudevents, _list),
    FormatName.OPENMETER: Format("application/cloudevents-batch+json", _openmeter, _list),
    FormatName.LAGO: Format("application/json", _lago, _events, _known_to_lago, usage_only=True),
    FormatName.STRIPE: Format("application/json", _stripe, _events, usage_only=True),
}
