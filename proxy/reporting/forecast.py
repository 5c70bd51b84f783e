"""What a month comes to if its last days are like those before them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from proxy.reporting.dates import Days, month_of

LOOK_BACK_DAYS = 7
"""Whole days of which the average is taken."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The amount of a whole month, in atomic units, and how many days it is made from."""

    amount: int
    days: int


def needed_days(today: date) -> Days:
    """Return the days whose amounts `forecast` needs: those of the month, and of the week before today."""
    return Days(min(month_of(today).first, today - timedelta(days=LOOK_BACK_DAYS)), today)


def forecast(by_day: Mapping[date, int], today: date, since: date) -> Forecast | None:
    """Return the forecast of the month of `today`; None before there was a whole day, counted from `since`.

    Today counts as what was used already, or as the average if that is more; each day after it as the average, which is
    rounded up.
    """
    first = max(since, today - timedelta(days=LOOK_BACK_DAYS))
    days = (today - first).days
    if days <= 0:
        return None
    average = -(-sum(by_day.get(first + timedelta(days=each), 0) for each in range(days)) // days)
    month = month_of(today)
    before = sum(amount for day, amount in by_day.items() if month.first <= day < today)
    left = (month.last - today).days
    return Forecast(before + max(by_day.get(today, 0), average) + average * left, days)
