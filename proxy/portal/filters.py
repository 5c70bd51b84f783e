"""What the filter of a page says: fields of a query, that people type or a link has."""

from __future__ import annotations

from datetime import date

from proxy.portal.access.forms import FilterRefused
from proxy.reporting.dates import EVER, BadDate, Days, parse_day


def chosen_days(first: str, last: str) -> Days:
    """Return the days of the fields `from` and `to`, where each may be empty. Raises `FilterRefused`."""
    begin, end = _day("from", first), _day("to", last)
    if begin and end and begin > end:
        raise FilterRefused("from", "The first day is after the last one.")
    return Days(begin or EVER.first, end or EVER.last)


def _day(field: str, text: str) -> date | None:
    try:
        return parse_day(text) if text else None
    except BadDate as error:
        raise FilterRefused(field, f"{error}.") from None
