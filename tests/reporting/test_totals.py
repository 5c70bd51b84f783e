"""Usage by the running totals of the ledger."""

import asyncio
from collections import Counter
from datetime import date
from typing import Any

import pytest

from config.plans import Billing, Plan
from config.prices import Price
from config.workloads import SaleUnit, Unit, Workload
from proxy.history.totals.total import Total, compact, parse_field
from proxy.reporting.dates import Days, redis_today
from proxy.reporting.totals import Breakdown, Dimension, read_usage
from tests.reporting.ledger_fixture import RecordedUsage, utc

NOVEMBER = Days(date(2020, 11, 1), date(2020, 11, 30))
PAID = Plan(billing=Billing.USAGE, prices=(Price(unit=SaleUnit.PIXELS, amount=1, per=1),))
HUGE = 10**27


async def test_by_each_dimension(usage_records: RecordedUsage) -> None:
    app = await usage_records.app()
    at = utc("2020-11-21T12:00")
    await usage_records.request(app, user="u1", key="k1", units={Unit.PIXELS: 10}, amount=5, at=at)
    await usage_records.request(app, user="u2", key="k1", units={Unit.PIXELS: 20}, amount=6, at=at)
    await usage_records.request(
        app, workload=Workload.LLM, model="m/two", units={Unit.OUTPUT_TOKENS: 3}, amount=7, at=at
    )

    async def groups(*dimensions: Dimension) -> dict[tuple[str, ...], tuple[int, int]]:
        usage = await read_usage(usage_records.sources, app, NOVEMBER, dimensions)
        assert usage.total.plain() == {
            "request_count": 3,
            "units": {"pixels": 30, "output_tokens": 3},
            "amount": "18",
        }
        return {group: (total.requests, total.amount) for group, total in usage.rows()}

    assert await groups() == {}
    assert await groups(Dimension.USER) == {("",): (1, 7), ("u1",): (1, 5), ("u2",): (1, 6)}
    assert await groups(Dimension.KEY) == {("",): (1, 7), ("k1",): (2, 11)}
    assert await groups(Dimension.WORKLOAD) == {("llm",): (1, 7), ("text-to-image",): (2, 11)}
    assert await groups(Dimension.MODEL) == {("m/one",): (2, 11), ("m/two",): (1, 7)}
    assert await groups(Dimension.DAY) == {("2020-11-21",): (3, 18)}
    assert await groups(Dimension.KEY, Dimension.USER) == {("", ""): (1, 7), ("k1", "u1"): (1, 5), ("k1", "u2"): (1, 6)}


async def test_model_names_with_separators_and_escapes(usage_records: RecordedUsage) -> None:
    app = await usage_records.app()
    names = ["a|b", "a%7Cb", "%25", "%", "|", "||%|", "a|b|requests", "ä|é", ""]
    at = utc("2020-11-21T12:00")
    for name in names:
        await usage_records.request(app, model=name, amount=1, at=at)
    usage = await read_usage(usage_records.sources, app, NOVEMBER, [Dimension.MODEL])
    assert {group: total.requests for group, total in usage.rows()} == {(name,): 1 for name in names}
    assert [total.amount for _, total in usage.rows()] == [1] * len(names)


def test_a_user_named_with_a_separator() -> None:
    day, name = date(2020, 11, 1), "a|b|k1|llm|m%7C%2525|amount"
    total = parse_field("app_x", day, name)
    assert total == Total("app_x", day, "a|b", "k1", "llm", "m|%25", "amount")
    assert total.field == name


async def test_amounts_past_what_redis_and_doubles_can_count(usage_records: RecordedUsage) -> None:
    app = await usage_records.app()
    at = utc("2020-11-21T12:00")
    for amount in (HUGE, HUGE + 1, 1):
        await usage_records.request(app, amount=amount, at=at)
    usage = await read_usage(usage_records.sources, app, NOVEMBER, [Dimension.DAY])
    assert usage.total.amount == 2 * HUGE + 2
    assert usage.total.plain()["amount"] == "2000000000000000000000000002"


async def test_month_ends_fall_on_the_day_of_the_event(usage_records: RecordedUsage) -> None:
    app = await usage_records.app()
    for moment in ("2020-10-31T23:59:59.999", "2020-11-01T00:00", "2020-11-30T23:59:59.999", "2020-12-01T00:00"):
        await usage_records.request(app, amount=1, at=utc(moment))
    usage = await read_usage(usage_records.sources, app, NOVEMBER, [Dimension.DAY])
    assert [group for group, _ in usage.rows()] == [("2020-11-01",), ("2020-11-30",)]


async def test_another_app_sees_nothing(usage_records: RecordedUsage) -> None:
    mine, other = await usage_records.app("mine"), await usage_records.app("other")
    await usage_records.request(mine, amount=1, at=utc("2020-11-21T12:00"))
    usage = await read_usage(usage_records.sources, other, NOVEMBER, list(Dimension))
    assert usage.total.plain() == {"request_count": 0, "units": {}, "amount": "0"}
    assert usage.rows() == []


@pytest.mark.ci
@pytest.mark.parametrize("count", [1_500])
async def test_a_day_of_many_users_adds_up_to_its_events(usage_records: RecordedUsage, count: int) -> None:
    """More fields than one step of a scan returns."""
    app = await usage_records.app()
    today = await redis_today(usage_records.store.redis)
    for number in range(count):
        await usage_records.request(app, user=f"u{number}", plan=PAID, plan_name="paid", amount=number, drain=False)
    await usage_records.ledger.drain()
    days = Days(today, await redis_today(usage_records.store.redis))
    usage = await read_usage(usage_records.sources, app, days, [Dimension.USER])
    spent: Counter[tuple[str, ...]] = Counter()
    async for recorded in usage_records.events(app, days):
        spent[(recorded.event.user or "",)] += int(recorded.amount)
    assert {group: total.amount for group, total in usage.rows()} == dict(spent)
    assert usage.total.requests == count


async def test_totals_of_thousands_of_models_hold_up_nobody_else(
    usage_records: RecordedUsage, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, number = await usage_records.app(), 20_000
    totals: Any = {f"||llm|model {each}|requests": 1 for each in range(number)}
    await usage_records.store.redis.hset(usage_records.keys.usage(app, compact(date(2020, 11, 21))), mapping=totals)
    turn, turns_used = 0, set[int]()
    add = Breakdown.add

    def noted(self: Breakdown, *arguments: Any) -> None:
        turns_used.add(turn)
        add(self, *arguments)

    monkeypatch.setattr(Breakdown, "add", noted)
    reading = asyncio.create_task(read_usage(usage_records.sources, app, NOVEMBER, [Dimension.MODEL]))
    while not reading.done():
        turn += 1
        await asyncio.sleep(0)
    assert len((await reading).groups) == number
    assert len(turns_used) > 20, "the totals are added up in one go"


@pytest.mark.parametrize("user", ["u", "a*", "[a]", "a?", "^", "a\\b"])
async def test_of_one_user_others_are_not_even_read(usage_records: RecordedUsage, user: str) -> None:
    """Hazard: any end user of an app costs its worker as much as all of them have used."""
    app, at = await usage_records.app(), utc("2020-11-21T12:00")
    for each in (user, "other", "aa", "a", None):
        await usage_records.request(app, user=each, amount=3, at=at)
    usage = await read_usage(usage_records.sources, app, NOVEMBER, [Dimension.USER], user=user)
    assert {group: total.amount for group, total in usage.rows()} == {(user,): 3}
