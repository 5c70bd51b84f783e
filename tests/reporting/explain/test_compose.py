"""The document of an explanation, from what is known: its state, what is for operators alone, who may see it."""

from __future__ import annotations

import pytest
from msgspec import structs

from config.runtime import Currency
from config.workloads import Unit, Workload
from middlewares.ledger.model import Hold
from middlewares.response.refusals.record import RefusalLimit, RefusalRecord
from proxy.cli.commands.explain import text_of
from proxy.reporting.explain.compose import SHOWN_EVENTS, explanation
from proxy.reporting.explain.documents import Explanation
from proxy.reporting.explain.facts import OpenHold, RequestFacts, request_of
from proxy.reporting.stream import RecordedEvent
from tests.history.fakes import event

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
RULE = RefusalLimit("app-pixels-per-day", "pixels", "100", "40", 60, requested="50", refused=True)
BESIDE = RefusalLimit("key-concurrent", "concurrent-requests", "5", "4", 0)
GATEWAYS = (("http://10.0.0.1", "gateway_unreachable"), ("http://10.0.0.2", "gateway_dropped"))


def refused(**changes: object) -> RefusalRecord:
    record = RefusalRecord(
        id=ID,
        time=1_790_000_000_000,
        app="app_a",
        user=None,
        key="k",
        plan="p@1",
        stage="rate_limit",
        code="plan_limit",
        status=402,
        detail="too much",
        workload=Workload.LLM,
        model="m",
    )
    return structs.replace(record, **changes)


def facts(
    *events: RecordedEvent, refusal: RefusalRecord | None = None, open_hold: OpenHold | None = None, wanted: str = ID
) -> RequestFacts:
    return RequestFacts(
        id=wanted,
        request_id=ID,
        app="app_a",
        refusal=refusal,
        unrecorded=3,
        events=events,
        open_hold=open_hold,
        resolution=None,
        plans={},
    )


def explained(found: RequestFacts, *, for_operator: bool = False) -> Explanation:
    return explanation(found, Currency(), for_operator=for_operator)


def test_a_refusal_by_a_limit() -> None:
    found = explained(facts(refusal=refused(limits=(BESIDE, RULE), estimate="7", units={Unit.REQUESTS: 1})))
    assert (found.state, found.settlement, found.gateways) == ("refused", None, [])
    assert found.refusal is not None
    assert found.refusal.rule is not None
    assert (found.refusal.rule.used, found.refusal.rule.requested, found.refusal.unrecorded) == ("60", "50", 3)
    assert [each.policy for each in found.refusal.others] == ["key-concurrent"]
    assert found.hold is not None
    assert (found.hold.state, found.hold.amount) == ("refused", "7")
    shown = "\n".join(text_of(found))
    assert "rule app-pixels-per-day: 60 of 100 pixels were used" in shown
    assert "3 more refusals by this rule were counted only" in shown


def test_a_refusal_behind_the_limits_gave_its_hold_back() -> None:
    found = explained(facts(refusal=refused(stage="tier_routing", code="no_gateway", admitted=True)))
    assert found.hold is not None
    assert found.hold.state == "returned"


def test_a_refusal_by_auth_has_no_hold() -> None:
    assert explained(facts(refusal=refused(stage="auth", code="key_revoked", plan=""))).hold is None


def test_origins_and_pools_are_for_operators_alone() -> None:
    record = refused(stage="forwarder", failed_attempts=GATEWAYS, pool="inner", admitted=True)
    tenant, operator = (explained(facts(refusal=record), for_operator=each) for each in (False, True))
    assert [(each.number, each.gateway, each.code) for each in tenant.gateways] == [
        (1, None, "gateway_unreachable"),
        (2, None, "gateway_dropped"),
    ]
    assert (tenant.pool, operator.pool) == (None, "inner")
    assert [each.gateway for each in operator.gateways] == ["http://10.0.0.1", "http://10.0.0.2"]
    assert "10.0.0" not in tenant.model_dump_json()


@pytest.mark.parametrize(
    ("failed", "gateway", "status", "expected"),
    [
        ("", "http://a", 200, [("", 200)]),
        ("http://a gateway_unreachable", "http://b", 200, [("gateway_unreachable", 0), ("", 200)]),
        ("http://a gateway_truncated", "http://a", 200, [("gateway_truncated", 200)]),
        ("http://a gateway_dropped", "http://a", 0, [("gateway_dropped", 0)]),
        ("", "", 0, []),
    ],
)
def test_an_event_names_the_gateways_that_were_tried(
    failed: str, gateway: str, status: int, expected: list[tuple[str, int]]
) -> None:
    done = event(id=ID, failed_attempts=failed, gateway=gateway, gateway_status=status, held="9")
    found = explained(facts(RecordedEvent(done, "0")))
    assert [(each.code, each.status) for each in found.gateways] == expected
    assert found.hold is not None
    assert (found.hold.state, found.hold.amount) == ("settled", "9")


def test_a_running_request_has_its_hold() -> None:
    hold = Hold(ID, "app_a", "u", None, "p@1", Workload.LLM, "m", 0, estimate="5", units={Unit.OUTPUT_TOKENS: 9})
    found = explained(facts(open_hold=OpenHold(hold, 1_790_000_000_000)))
    assert (found.state, found.user, found.model) == ("running", "u", "m")
    assert found.hold is not None
    assert (found.hold.state, found.hold.units) == ("open", {Unit.OUTPUT_TOKENS: 9})


def test_a_long_stream_shows_its_end_and_what_was_requested() -> None:
    ticks = [RecordedEvent(event(id=f"{ID}-{part}", part=part), "2") for part in range(1, 101)]
    found = explained(facts(*ticks, wanted=f"{ID}-7"))
    assert found.settlement is not None
    shown = [each.part for each in found.settlement.events]
    assert shown == [7, *range(101 - SHOWN_EVENTS, 101)]
    assert (found.settlement.event_count, found.settlement.charged, found.settlement.agrees) == (100, "200", None)
    assert "21 of 100 events are shown" in "\n".join(text_of(found))


@pytest.mark.parametrize(
    ("event_id", "request_id"),
    [(ID, ID), (f"{ID}-12", ID), (f"{ID}-adjustment", ID), ("credit-app_a-x", "credit-app_a-x"), ("9" * 26, "9" * 26)],
)
def test_an_event_belongs_to_its_request(event_id: str, request_id: str) -> None:
    assert request_of(event_id) == request_id
