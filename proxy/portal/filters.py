"""What the filter of a page says: fields of a query, that people type or a link has."""

from __future__ import annotations

from proxy.portal.access.forms import FilterRefused
from proxy.reporting.dates import EVER, BadDate, Days, parse_day


def check_days(first: str, last: str) -> None:
    """Raise `FilterRefused` for a text in the field `from` or `to` that is neither empty nor a day, or out of order."""
    for field, text in (("from", first), ("to", last)):
        try:
            if text:
                parse_day(text)
        except BadDate as error:
            raise FilterRefused(field, f"{error}.") from None
    if first and last and parse_day(first) > parse_day(last):
        raise FilterRefused("from", "The first day is after the last one.")


def chosen_days(first: str, last: str) -> Days:
    """Return the days of the fields `from` and `to`, where each may be empty. Raises `FilterRefused`."""
    check_days(first, last)
    return Days(parse_day(first) if first else EVER.first, parse_day(last) if last else EVER.last)
