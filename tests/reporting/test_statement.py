"""Statements add up to the events they are made of."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.plans import BUILT_IN_PLANS, Billing, Plan
from config.prices import Price
from config.workloads import SaleUnit, Unit, Workload
from middlewares.ledger.settlement.event import Event
from proxy.reporting.dates import parse_period
from proxy.reporting.statements.statement import LineKind, Statement, Tally
from proxy.reporting.stream import RecordedEvent
from tests.reporting.ledger_fixture import RecordedUsage, milliseconds, utc

NOVEMBER = parse_period("2020-11")
FLAT = Plan(billing=Billing.SUBSCRIPTION, fee=500)
DEARER = Plan(billing=Billing.SUBSCRIPTION, fee=900)
HUGE = 10**27


def recorded(number: int, amount: int = 0, *, wallet: str = "", **fields: object) -> RecordedEvent:
    known: dict[str, object] = {
        "id": f"id{number:04}",
        "time": milliseconds(utc("2020-11-21T12:00")),
        "started": 0,
        "app": "a",
        "user": None,
        "key": None,
        "plan": "unlimited@1",
        "workload": Workload.LLM,
        "model": "m",
        "outcome": "complete",
    }
    return RecordedEvent(Event(**(known | fields)), str(amount), wallet)  # type: ignore[arg-type]


def statement(*events: RecordedEvent, period: str = "2020-11", plans: dict[str, Plan] | None = None) -> Statement:
    tally = Tally(parse_period(period))
    for each in events:
        tally.add(each)
    return tally.statement({**BUILT_IN_PLANS, **(plans or {})})


events = st.builds(
    recorded,
    st.integers(0, 9999),
    st.integers(-HUGE, HUGE),
    plan=st.sampled_from(["unlimited@1", "unlimited@2", "flat@1"]),
    workload=st.sampled_from(list(Workload)),
    model=st.sampled_from(["m", "a|b", "%"]),
    type=st.sampled_from(["usage", "adjustment"]),
    units=st.dictionaries(st.sampled_from(list(Unit)), st.integers(-(10**12), 10**12)),
)


@pytest.mark.ci
@given(st.lists(events, max_size=40))
def test_lines_add_up_to_the_events(found: list[RecordedEvent]) -> None:
    made = statement(*found)
    assert made.amount(LineKind.USAGE, LineKind.ADJUSTMENT) == sum(int(each.amount) for each in found)
    assert sum(line.total.requests for line in made.lines) == sum(each.event.type == "usage" for each in found)
    assert made.events == len(found)
    for unit in set(Unit) - {Unit.REQUESTS}:
        in_lines = sum(line.total.units.get(unit, 0) for line in made.lines)
        assert in_lines == sum(each.event.units.get(unit, 0) for each in found)


@pytest.mark.ci
@given(st.lists(events, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_events_changes_nothing(found: list[RecordedEvent], chance: random.Random) -> None:
    shuffled = found[:]
    chance.shuffle(shuffled)
    assert statement(*found) == statement(*shuffled)


def test_the_digest_is_over_the_sorted_ids() -> None:
    made = statement(recorded(2), recorded(1))
    assert made.digest == hashlib.sha256(b"id0001\nid0002\n").hexdigest()
    assert statement().digest == hashlib.sha256(b"").hexdigest()


def test_a_line_for_each_plan_version_and_adjustments_apart() -> None:
    made = statement(
        recorded(1, 10),
        recorded(2, 20, plan="unlimited@2"),
        recorded(3, -4, type="adjustment", units={Unit.OUTPUT_TOKENS: -1}),
        recorded(4, 5, units={Unit.OUTPUT_TOKENS: 7}),
    )
    assert [(line.key.kind, line.key.plan, line.total.requests, line.total.amount) for line in made.lines] == [
        (LineKind.USAGE, "unlimited@1", 2, 15),
        (LineKind.USAGE, "unlimited@2", 1, 20),
        (LineKind.ADJUSTMENT, "unlimited@1", 0, -4),
    ]
    assert made.plans == ("unlimited@1", "unlimited@2")
    assert made.amount() == 31


def test_a_subscription_costs_its_fee_for_each_active_user_and_month() -> None:
    plans = {"flat": FLAT}
    name = f"flat@{FLAT.version}"
    active = [recorded(number, 1, user=user, plan=name) for number, user in enumerate(["u1", "u2", "u1", None])]
    adjusted = recorded(9, 1, user="u9", plan=name, type="adjustment")
    fee, *_ = statement(*active, adjusted, plans=plans).lines
    assert (fee.key.kind, fee.key.plan, fee.users, fee.total.amount) == (LineKind.FEE, name, 3, 1500)
    of_a_day = statement(*active, period="2020-11-21", plans=plans)
    assert all(line.key.kind is not LineKind.FEE for line in of_a_day.lines)


def test_a_user_under_two_versions_of_a_plan_pays_one_fee_and_the_reader_is_told() -> None:
    old, new = f"flat@{FLAT.version}", f"flat@{DEARER.version}"
    made = statement(recorded(1, user="u", plan=old), recorded(2, user="u", plan=new), plans={"flat": DEARER})
    assert [line.total.amount for line in made.lines if line.key.kind is LineKind.FEE] == [900]
    assert made.notes == (f"plan {old} was in force: the fee is that of {new}",)


def test_a_plan_that_is_gone_is_noted() -> None:
    [note] = statement(recorded(1, plan="gone@12345678")).notes
    assert "gone" in note


def test_an_event_that_is_there_twice_is_noted() -> None:
    [note] = statement(recorded(1, 5), recorded(1, 5)).notes
    assert "twice" in note


def test_attention() -> None:
    assert statement(recorded(1), recorded(2, attention=True)).attention == 1


def credit(number: int, amount: int, at: str, wallet: str = "app", user: str | None = None) -> RecordedEvent:
    time = milliseconds(utc(at))
    return recorded(number, amount, wallet=wallet, user=user, type="credit", workload=None, plan="", time=time)


def test_wallets_open_with_what_was_before_and_close_with_what_is_left() -> None:
    before, within, after = "2020-10-31T23:59:59.999", "2020-11-30T23:59:59.999", "2020-12-01T00:00"
    made = statement(
        credit(1, HUGE, before),
        recorded(2, 7, wallet="app", time=milliseconds(utc(before))),
        recorded(3, 5, wallet="app", user="u1"),
        recorded(4, -2, wallet="app", user="u1", type="adjustment"),
        credit(5, 100, within),
        credit(6, -40, within),
        credit(7, 10**6, after),
        recorded(8, 9, wallet="user", user="u2"),
        credit(9, 50, within, "user", "u2"),
        recorded(10, 1000),
    )
    (_, shared), (owner, own) = made.wallets
    assert shared.plain() == {
        "opening": str(HUGE - 7),
        "granted": "100",
        "debited": "40",
        "expired": "0",
        "returned": "0",
        "spent": "3",
        "closing": str(HUGE + 50),
    }
    assert (owner, own.opening, own.granted, own.spent, own.closing) == ("u2", 0, 50, 9, 41)
    assert made.amount() == 5 - 2 + 9 + 1000
    assert made.events == 7
    assert all(line.key.workload for line in made.lines)


@pytest.mark.parametrize("price", [3, HUGE])
async def test_a_month_of_the_real_ledger_to_the_last_unit(usage_records: RecordedUsage, price: int) -> None:
    """Rounding happened event by event; the sum of the lines is the sum of the events."""
    app = await usage_records.app()
    plan = Plan(billing=Billing.USAGE, prices=(Price(unit=SaleUnit.PIXELS, amount=price, per=7),))
    policy = usage_records.ledger.policy(app, None, None, "paid", plan)
    expected = 0
    for number, moment in enumerate(("2020-11-01T00:00", "2020-11-15T12:00", "2020-11-30T23:59:59.999")):
        units = {Unit.PIXELS: 10 + number}
        amount, _ = usage_records.ledger.price(policy, Workload.TEXT_TO_IMAGE, "m/one", units)
        await usage_records.request(app, plan=plan, plan_name="paid", units=units, amount=amount, at=utc(moment))
        expected += amount
    for outside in ("2020-10-31T23:59:59.999", "2020-12-01T00:00"):
        await usage_records.request(app, plan=plan, plan_name="paid", amount=1, at=utc(outside))
    tally = Tally(NOVEMBER)
    async for each in usage_records.events(app, NOVEMBER):
        tally.add(each)
    made = tally.statement({"paid": plan})
    assert made.amount() == expected == sum(-(-(10 + number) * price // 7) for number in range(3))
    assert made.events == 3
    assert [line.total.units for line in made.lines] == [{"pixels": 33}]
