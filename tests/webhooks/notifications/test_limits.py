"""Hazards: a threshold told twice or never, of another period or limit, and a forecast out of one request."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.ledger.admission.rules import LimitRule
from middlewares.ledger.credit.prepaid import grant
from middlewares.ledger.periods import DAY_MS, EPOCH, period_of
from proxy.control.api_keys import ApiKeys
from proxy.webhooks.notifications.limit_finder import KINDS
from proxy.webhooks.notifications.limits import HOUR_MS, CapUse, Consumption, cap_ends, crossed
from tests.ledger.redis_time import NEW_YEAR
from tests.webhooks.notifications.conftest import Notified

pytestmark = pytest.mark.ci


MINUTE_MS = 60_000
THRESHOLDS = (50, 80, 100)


async def use(notified: Notified, key: str, kind: str, used: int) -> None:
    """Let so much of a cap be used."""
    redis: Any = notified.store.redis
    await redis.hset(key, f"used:{period_of(kind, await notified.now())}", str(used))


async def at_noon(notified: Notified) -> int:
    """Turn the clock to the middle of a day and of a month, which end far from a test; return how far, in ms."""
    now = EPOCH + timedelta(milliseconds=await notified.now())
    noon = (now.replace(day=15, hour=12) + timedelta(days=32)).replace(day=15)
    notified.later_ms = (noon - now) // timedelta(milliseconds=1)
    return notified.later_ms


def told(notified: Notified, kind: str = "limit.threshold") -> list[tuple[str, str | None, Any]]:
    """Return policy, user and percent of what was told."""
    return [(each["policy"], each["user"], each.get("percent")) for each in notified.receiver.of_kind(kind)]


@pytest.mark.slow
async def test_caps_of_app_user_and_key_are_told_of_each_once_in_a_period(notified: Notified) -> None:
    begin = await at_noon(notified)
    app = await notified.app("budget")
    await notified.endpoint(app, kinds=KINDS)
    keys = ApiKeys(notified.store.redis, None)
    record, _ = await keys.create(app, user=None, limits={"spend_total": "100"})
    of_app = notified.keys.rule(app, "cap", "app", app, "amount:month")
    of_user = notified.keys.rule(app, "cap", "user", f"{app}:ann", "requests:day")
    of_key = notified.keys.rule(app, "own", "key", record.key_id, "spend-total")
    await use(notified, of_app, "m", 499)
    await notified.used(app, "ann")
    assert told(notified) == []
    await use(notified, of_app, "m", 500)
    await use(notified, of_user, "d", 8)
    await notified.used(app, "ann")
    await notified.used(app, "ann")
    assert sorted(told(notified)) == [
        ("app-amount-per-month", None, 50),
        ("user-requests-per-day", "ann", 50),
        ("user-requests-per-day", "ann", 80),
    ]
    await use(notified, of_key, "t", 100)
    await notified.used(app, "bob", record.key_id)
    assert [each for each in told(notified) if each[1] == "bob"] == [
        ("key-own-spend-total", "bob", percent) for percent in THRESHOLDS
    ]
    [*_, last] = notified.receiver.of_kind("limit.threshold")
    assert (last["key_id"], last["limit"], last["used"], last["period"]) == (record.key_id, "100", "100", "total")
    before = len(notified.receiver.received)
    notified.later_ms = begin + 40 * DAY_MS
    await use(notified, of_app, "m", 800)
    await notified.used(app, "ann")
    assert told(notified)[before:] == [("app-amount-per-month", None, 50), ("app-amount-per-month", None, 80)]


@pytest.mark.sampled(2)
async def test_a_balance_is_low_once_until_the_next_grant(notified: Notified) -> None:
    app = await notified.app("prepaid")
    await notified.endpoint(app, kinds=KINDS, balance_below="50")
    await grant(notified.store, notified.keys, app, None, 100, reference="1")
    redis: Any = notified.store.redis
    wallet = notified.keys.wallet(app)
    for spent in (50, 51, 60):
        await redis.hset(wallet, "spent", str(spent))
        await notified.used(app)
    assert [each["balance"] for each in notified.receiver.of_kind("balance.low")] == ["49"]
    await grant(notified.store, notified.keys, app, None, 5, reference="2")
    await notified.used(app)
    assert [each["balance"] for each in notified.receiver.of_kind("balance.low")] == ["49", "45"]
    await grant(notified.store, notified.keys, app, None, 100, reference="3")
    await notified.used(app)
    assert len(notified.receiver.of_kind("balance.low")) == 2


async def test_a_balance_that_ends_within_the_hours_is_told_of_once(notified: Notified) -> None:
    begin = await at_noon(notified)
    app = await notified.app("prepaid")
    await notified.endpoint(app, kinds=KINDS)
    await grant(notified.store, notified.keys, app, None, 1_000, reference="1")
    redis: Any = notified.store.redis
    for minute in range(0, 31, 6):
        notified.later_ms = begin + minute * MINUTE_MS
        await redis.hset(notified.keys.wallet(app), "spent", str(5 * minute))
        await notified.used(app)
    [forecast] = notified.receiver.of_kind("balance.forecast")
    assert forecast["spent"] == "60"  # the first after ten minutes; at 5 a minute 940 last for three hours
    assert forecast["ends"] > forecast_time(notified)
    assert len(notified.receiver.received) == 1


def forecast_time(notified: Notified) -> str:
    return str(notified.receiver.received[0][1]["timestamp"])


async def test_the_events_of_other_apps_and_those_before_are_not_looked_at_again(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: every round reads every cap of everybody."""
    app, other = await notified.app("budget"), await notified.app("budget")
    await notified.endpoint(app, kinds=KINDS)
    await notified.used(app)
    await notified.used(other)
    looked: list[str] = []
    redis: Any = notified.store.redis
    pipeline = redis.pipeline

    def counted(**options: Any) -> Any:
        found = pipeline(**options)
        hmget = found.hmget

        def spied(name: str, *fields: Any) -> Any:
            looked.append(name)
            return hmget(name, *fields)

        found.hmget = spied
        return found

    monkeypatch.setattr(redis, "pipeline", counted)
    await notified.round()
    await notified.used(other)
    assert looked == []
    await notified.used(app)
    assert looked == [
        notified.keys.rule(app, "cap", "user", f"{app}:", "requests:day"),
        notified.keys.rule(app, "cap", "app", app, "amount:month"),
    ]


def cap(limit: int, used: int, now: int = NEW_YEAR + 12 * HOUR_MS) -> CapUse:
    return CapUse(LimitRule("d", ("k",), limit, "app-requests-per-day", "requests"), "app_one", None, None, used, now)


@given(st.integers(1, 10**27), st.integers(0, 2 * 10**27))
def test_exactly_the_thresholds_that_are_reached_are_crossed(limit: int, used: int) -> None:
    found = [each.data["percent"] for each in crossed(cap(limit, used), THRESHOLDS)]
    assert found == [percent for percent in THRESHOLDS if Fraction(used, limit) >= Fraction(percent, 100)]


def test_a_limit_that_is_raised_is_another_one() -> None:
    first, second = (next(crossed(cap(limit, 200), (50,))) for limit in (100, 200))
    assert first.id != second.id
    assert first.id == next(crossed(cap(100, 100), (50,))).id


def test_a_forecast_needs_ten_minutes_and_goes_by_the_last_hour() -> None:
    consumption, now = Consumption(), NEW_YEAR
    assert consumption.used_up("k", 0, 1_000, now) is None
    assert consumption.used_up("k", 500, 500, now + MINUTE_MS) is None
    assert consumption.used_up("k", 500, 500, now + 10 * MINUTE_MS) == now + 20 * MINUTE_MS
    for minute in range(15, 125, 5):
        ends = consumption.used_up("k", 500, 500, now + minute * MINUTE_MS)
    assert ends is None, "nothing was used in the last hour"
    assert consumption.used_up("k", 10, 990, now + 130 * MINUTE_MS) is None, "a new period"


@pytest.mark.slow
def test_a_cap_that_its_period_outlives_is_forecast_and_no_other() -> None:
    use = cap(100, 50)
    assert cap_ends(use, None, 24) is None
    assert cap_ends(use, use.now + 13 * HOUR_MS, 24) is None, "the day is over before"
    assert cap_ends(use, use.now + 3 * HOUR_MS, 2) is None
    assert cap_ends(use, use.now + 3 * HOUR_MS, 3) is not None
