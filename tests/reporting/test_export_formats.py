"""What receivers get: each event under its own id, money exact."""

import json
from typing import Any

import msgspec
import pytest

from config.workloads import Unit, Workload
from middlewares.ledger.settlement.event import Event
from proxy.reporting.export.formats import FORMATS, FormatName, ReceiverNames
from proxy.reporting.stream import RecordedEvent

HUGE = str(10**27 + 1)
EVENT = Event(
    id="01ABC",
    time=1_604_188_799_007,
    started=1_604_188_798_000,
    app="app_1",
    user="usr_1",
    key=None,
    plan="paid@12345678",
    workload=Workload.LLM,
    model="a|b%",
    outcome="complete",
    units={Unit.REQUESTS: 1, Unit.OUTPUT_TOKENS: 2**60},
    provenance={Unit.OUTPUT_TOKENS: "upstream"},
    status=200,
)
NAMES = ReceiverNames("ETH", customers={"app_1": "cus_9"})


def written(name: str, names: ReceiverNames = NAMES) -> dict[str, Any]:
    form = FORMATS[FormatName(name)]
    line, end = form.lines([RecordedEvent(EVENT, HUGE)], names).split(b"\n")
    assert end == b""
    alone: dict[str, Any] = json.loads(line)
    body = json.loads(form.body([RecordedEvent(EVENT, HUGE), RecordedEvent(EVENT, HUGE)], names))
    assert (body if isinstance(body, list) else body["events"]) == [alone, alone]
    return alone


def test_cloudevents() -> None:
    event = written("cloudevents")
    assert event["specversion"] == "1.0"
    assert (event["id"], event["source"], event["type"]) == ("01ABC", "tollgate", "tollgate.usage")
    assert (event["subject"], event["time"]) == ("app_1:usr_1", "2020-10-31T23:59:59.007Z")
    assert event["data"]["amount"] == HUGE
    assert event["data"]["units"] == {"requests": 1, "output_tokens": 2**60}
    assert event["data"]["provenance"] == {"output_tokens": "upstream"}
    assert event["data"]["currency"] == "ETH"


def test_openmeter_is_flat_and_under_the_customer() -> None:
    event = written("openmeter")
    assert (event["id"], event["source"], event["subject"]) == ("01ABC", "tollgate", "cus_9")
    assert event["data"] == {
        "app": "app_1",
        "user": "usr_1",
        "plan": "paid@12345678",
        "workload": "llm",
        "model": "a|b%",
        "type": "usage",
        "outcome": "complete",
        "status": 200,
        "requests": 1,
        "output_tokens": 2**60,
        "amount": HUGE,
        "currency": "ETH",
    }


def test_lago() -> None:
    event = written("lago")
    assert event["transaction_id"] == "01ABC"
    assert event["external_subscription_id"] == "cus_9"
    assert (event["code"], event["timestamp"]) == ("llm", "1604188799.007")
    assert event["properties"]["amount"] == HUGE
    assert written("lago", ReceiverNames("ETH", meter="tolls"))["code"] == "tolls"


def test_stripe() -> None:
    event = written("stripe", ReceiverNames("ETH", meter="tolls"))
    assert event == {
        "event_name": "tolls",
        "identifier": "01ABC",
        "timestamp": "2020-10-31T23:59:59.007Z",
        "payload": {
            "stripe_customer_id": "app_1",
            "value": HUGE,
            "requests": "1",
            "output_tokens": str(2**60),
        },
    }


@pytest.mark.parametrize(
    ("name", "takes"), [("cloudevents", True), ("openmeter", True), ("lago", False), ("stripe", False)]
)
def test_who_gets_changes_of_credits(name: str, takes: bool) -> None:
    """Those who would bill them like usage do not."""
    grant = RecordedEvent(msgspec.structs.replace(EVENT, type="credit", workload=None), HUGE)
    assert FORMATS[FormatName(name)].select([grant, RecordedEvent(EVENT, "1")])[:-1] == ([grant] if takes else [])


@pytest.mark.parametrize(
    ("name", "status", "body", "known"),
    [
        ("lago", 422, b'{"error_details":{"0":{"transaction_id":["value_already_exist"]}}}', True),
        ("lago", 422, b'{"error_details":{"0":{"code":["not_found"]}}}', False),
        ("lago", 400, b"value_already_exist transaction_id", False),
        ("cloudevents", 409, b"", True),
        ("cloudevents", 422, b'{"transaction_id":["value_already_exist"]}', False),
    ],
)
def test_a_refusal_of_what_is_there_already_is_none(name: str, status: int, body: bytes, known: bool) -> None:
    assert FORMATS[FormatName(name)].known(status, body) is known
