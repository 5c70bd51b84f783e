"""Days, months and spans as people write them."""

from datetime import date

import pytest

from middlewares.ledger.periods import day_of, period_ends
from proxy.history.totals.total import compact
from proxy.reporting.dates import BadDate, Days, month_of, parse_day, parse_period, span

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "20261121",
        "2026-W47-6",
        "2026-11-31",
        "2026-13-01",
        "2026-1-1",
        "2026-11-21T00:00",
        "٢٠٢٦-11-21",
    ],
)
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(BadDate):
        parse_day(text)


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-00", "0000-01", "2026-11-31", "202611", "-11", "2026-11-"])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(BadDate):
        parse_period(text)


@pytest.mark.parametrize(
    ("month", "last"),
    [("2026-02", 28), ("2028-02", 29), ("2100-02", 28), ("2026-11", 30), ("2026-12", 31), ("9999-12", 31)],
)
def test_month_ends(month: str, last: int) -> None:
    days = parse_period(month)
    assert (days.first.day, days.last.day, len(days.each())) == (1, last, last)
    assert days == month_of(days.last)


@pytest.mark.parametrize("month", ["2026-02", "2028-02", "2026-12"])
def test_a_period_holds_its_last_millisecond_and_not_the_next(month: str) -> None:
    days = parse_period(month)
    assert days.end_ms == period_ends("m", days.start_ms)
    assert days.end_ms - 1 in days
    assert days.start_ms in days
    assert days.end_ms not in days
    assert days.start_ms - 1 not in days


def test_days_are_named_as_the_ledger_names_them() -> None:
    for day in parse_period("2028-02").each():
        assert compact(day) == day_of(Days(day, day).start_ms) == day_of(Days(day, day).end_ms - 1)


def test_spans() -> None:
    november = Days(date(2026, 11, 1), date(2026, 11, 30))
    assert span(None, None, TODAY) == november
    assert span("2026-10-30", None, TODAY) == Days(date(2026, 10, 30), TODAY)
    assert span("2026-12-24", None, TODAY) == Days(date(2026, 12, 24), date(2026, 12, 24))
    assert span(None, "2026-10-30", TODAY) == Days(date(2026, 10, 1), date(2026, 10, 30))
    assert span("2026-11-21", "2026-11-21", TODAY).each() == [TODAY]


@pytest.mark.parametrize(("first", "last"), [("2026-11-22", "2026-11-21"), ("0001-01-01", "9999-12-31")])
def test_spans_that_are_none_or_without_bounds(first: str, last: str) -> None:
    with pytest.raises(BadDate):
        span(first, last, TODAY)
