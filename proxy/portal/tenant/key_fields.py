"""The fields of the forms about keys, as the service takes them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from config.runtime import Currency
from middlewares.auth.records import KeyRecord
from middlewares.exchange import Refusal
from middlewares.ledger.admission.key_limits import NO_LIMITS
from proxy.control.key_changes import MOST_MONEY, KeyChange
from proxy.portal.access.forms import Fields
from proxy.reporting.dates import BadDate, parse_day
from proxy.reporting.tables import decimal

LONGEST_NAME = 100
OVERLAPS = {"0": "not at all", "1": "for an hour", "24": "for a day", "168": "for a week"}
"""Hours for which both keys of a rotation work, and what the form calls them."""

_MONEY = re.compile(r"([0-9]{1,28})(?:\.([0-9]{1,18}))?")


def key_members(fields: Fields, currency: Currency) -> KeyChange:
    """Return the members of a new key. Raises `Refusal` (400), which names the field."""
    name = fields.get("name", "")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise _unusable(f"Name: expected at most {LONGEST_NAME} characters and no control characters.")
    members: KeyChange = {"name": name}
    if last := fields.get("last_day"):
        members["expires_at"] = _end_of(last)
    if money := fields.get("spend_per_month"):
        members["limits"] = {"spend_per_month": str(atomic_units(money, currency))}
    return members


def atomic_units(text: str, currency: Currency, name: str = "Most money") -> int:
    """Return an amount of the currency in atomic units, exactly. Raises `Refusal` (400), which names the field."""
    match = _MONEY.fullmatch(text)
    fraction = (match[2] or "") if match else ""
    if match is None or len(fraction.rstrip("0")) > currency.decimals:
        raise _unusable(f"{name}: expected a number with at most {currency.decimals} decimals, such as 25.5.")
    found = int(match[1] + fraction[: currency.decimals].ljust(currency.decimals, "0"))
    if not 0 < found <= MOST_MONEY:
        raise _unusable(f"{name}: expected more than 0, and at most 10^27 atomic units.")
    return found


def overlap_of(fields: Fields) -> timedelta:
    """Return for how long both keys of a rotation work. Raises `Refusal` (400)."""
    hours = fields.get("overlap", "24")
    if hours not in OVERLAPS:
        raise _unusable(f"Overlap: expected one of {', '.join(OVERLAPS)} hours.")
    return timedelta(hours=int(hours))


def limits_of(record: KeyRecord, currency: Currency) -> list[tuple[str, str]]:
    """Return the key's own limits, each with its name, as people read them."""
    limits = record.limits or NO_LIMITS
    found = [
        (name, f"{decimal(int(amount), currency.decimals)} {currency.code}")
        for name, amount in (
            ("Most money in a day", limits.spend_per_day),
            ("Most money in a month", limits.spend_per_month),
            ("Most money in all", limits.spend_total),
        )
        if amount is not None
    ]
    counts = ("Most requests in a minute", limits.requests_per_minute), ("Most requests at once", limits.concurrent)
    return found + [(name, f"{count}") for name, count in counts if count is not None]


def typed_name(record: KeyRecord) -> str:
    """Return what has to be typed to revoke a key: its name, or its id where it has none."""
    return record.name.strip() or record.key_id


def _end_of(text: str) -> datetime:
    try:
        end = datetime.combine(parse_day(text), time(), UTC) + timedelta(days=1)
    except (BadDate, OverflowError):
        raise _unusable("Last day: expected a day such as 2027-01-31.") from None
    if end <= datetime.now(UTC):
        raise _unusable("Last day: expected today or a later day.")
    return end


def _unusable(detail: str) -> Refusal:
    return Refusal(400, "invalid_parameter", detail)
