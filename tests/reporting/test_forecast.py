"""A forecast is what was used, and the average of whole days for the days that are left."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from proxy.reporting.forecast import LOOK_BACK_DAYS, Forecast, forecast, needed_days

TODAY = date(2026, 11, 10)
LONG_AGO = date(2020, 1, 1)


def test_the_days_left_are_like_the_last_week() -> None:
    by_day = {date(2026, 11, day): 70 for day in range(1, 10)}
    assert forecast(by_day, TODAY, LONG_AGO) == Forecast(30 * 70, 7)


def test_today_counts_as_what_was_used_if_that_is_more() -> None:
    by_day = {date(2026, 11, 9): 7, TODAY: 1_000}
    assert forecast(by_day, TODAY, LONG_AGO) == Forecast(7 + 1_000 + 20 * 1, 7)


def test_days_before_the_app_are_not_averaged() -> None:
    by_day = {date(2026, 11, 8): 30, date(2026, 11, 9): 10}
    assert forecast(by_day, TODAY, date(2026, 11, 8)) == Forecast(40 + 21 * 20, 2)
    assert forecast({TODAY: 5}, TODAY, TODAY) is None


def test_the_first_days_of_a_month_look_into_the_one_before() -> None:
    today = date(2026, 12, 1)
    assert needed_days(today).first == date(2026, 11, 24)
    by_day = {date(2026, 11, day): 10 for day in range(24, 31)}
    assert forecast(by_day, today, LONG_AGO) == Forecast(31 * 10, 7)


@given(st.dates(date(2024, 1, 1), date(2028, 12, 31)), st.lists(st.integers(0, 10**27), min_size=40, max_size=40))
def test_it_is_never_below_what_was_used_and_exact_for_even_use(today: date, amounts: list[int]) -> None:
    by_day = {today - timedelta(days=number): amount for number, amount in enumerate(amounts)}
    found = forecast(by_day, today, LONG_AGO)
    assert found is not None
    assert found.days == LOOK_BACK_DAYS
    assert found.amount >= sum(amount for day, amount in by_day.items() if day.replace(day=1) == today.replace(day=1))
