"""The fields of the forms about keys, as the service takes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, time, timedelta

from config.runtime import Currency
from middlewares.auth.records import KeyRecord
from middlewares.exchange import Refusal
from middlewares.ledger.admission.key_limits import NO_LIMITS
from proxy.control.key_changes import (
    COUNTS,
    LONGEST_ORIGIN,
    MONEY,
    MOST_COUNT,
    MOST_MONEY,
    MOST_ORIGINS,
    KeyChange,
    without_ended_increase,
)
from proxy.portal.access.forms import Fields, single_spaced
from proxy.reporting.dates import BadDate, parse_day
from proxy.reporting.tables import decimal, grouped, readable_amount

LONGEST_NAME = 100
LONGEST_ORIGINS = MOST_ORIGINS * (LONGEST_ORIGIN + 2)
"""Most characters of all origins, one a line."""
LIMIT_NAMES = {
    "spend_per_day": "Most money in a day",
    "spend_per_month": "Most money in a month",
    "spend_total": "Most money in all",
    "requests_per_minute": "Most requests in a minute",
    "concurrent": "Most requests at once",
}
"""Limits of a key, and what people call them."""
FIELD_NAMES = {**LIMIT_NAMES, "name": "Name", "origins": "Web pages"}
"""Fields of the form of a key, and what people call them."""
END_INCREASE = "end_increase"
"""Name of the checkbox that ends a temporary increase."""
OVERLAPS = {"0": "not at all", "1": "for an hour", "24": "for a day", "168": "for a week"}
"""Hours for which both keys of a rotation work, and what the form calls them."""

_COUNT = re.compile(r"[1-9][0-9]{0,15}")
_MONEY = re.compile(r"([0-9]{1,28})(?:\.([0-9]{1,18}))?")


def key_members(fields: Fields, currency: Currency, only: Collection[str] = FIELD_NAMES) -> KeyChange:
    """Return the members of a key as its form has them, `only` from these fields; what is empty limits nothing.

    Raises `Refusal` (400), which names the field.
    """
    found: KeyChange = {}
    if "name" in only:
        name = found["name"] = fields.get("name", "")
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise _unusable(f"Name: expected at most {LONGEST_NAME} characters and no control characters.")
    if "origins" in only:
        origins = found["origins"] = fields.get("origins", "").split()
        if len(origins) > MOST_ORIGINS or any(len(each) > LONGEST_ORIGIN for each in origins):
            raise _unusable(
                f"Web pages: expected at most {MOST_ORIGINS}, each with at most {LONGEST_ORIGIN} characters."
            )
    if limits := {each: _limit(fields.get(each, ""), each, currency) for each in LIMIT_NAMES if each in only}:
        found["limits"] = limits
    if END_INCREASE in fields:
        found["increase"] = None
    return found


def end_of_key(fields: Fields) -> KeyChange:
    """Return when a new key ends: with its last day, in UTC. Raises `Refusal` (400)."""
    last = fields.get("last_day")
    return {"expires_at": _end_of(last)} if last else {}


def key_values(record: KeyRecord, currency: Currency) -> dict[str, str]:
    """Return what the form of a key has in its fields, by their names."""
    limits = record.limits or NO_LIMITS
    found = {each: _written(getattr(limits, each)) for each in COUNTS}
    for each in MONEY:
        amount = getattr(limits, each)
        found[each] = "" if amount is None else decimal(int(amount), currency.decimals)
    return {**found, "name": record.name, "origins": "\n".join(record.origins or ())}


def atomic_units(text: str, currency: Currency, field: str = "Most money") -> int:
    """Return an amount of the currency in atomic units, exactly. Raises `Refusal` (400)."""
    match = _MONEY.fullmatch(text)
    fraction = (match[2] or "") if match else ""
    if match is None or len(fraction.rstrip("0")) > currency.decimals:
        raise _unusable(f"{field}: expected a number with at most {currency.decimals} decimals, such as 25.5.")
    found = int(match[1] + fraction[: currency.decimals].ljust(currency.decimals, "0"))
    if not 0 < found <= MOST_MONEY:
        raise _unusable(f"{field}: expected more than 0, and at most 10^27 atomic units.")
    return found


def overlap_of(fields: Fields) -> timedelta:
    """Return for how long both keys of a rotation work. Raises `Refusal` (400)."""
    hours = fields.get("overlap", "24")
    if hours not in OVERLAPS:
        raise _unusable(f"Overlap: expected one of {', '.join(OVERLAPS)} hours.")
    return timedelta(hours=int(hours))


def limits_of(record: KeyRecord, currency: Currency, now: datetime) -> list[tuple[str, str]]:
    """Return the key's own limits, each with its name, as people read them, and what it is increased to."""
    limits, increase = record.limits or NO_LIMITS, without_ended_increase(record, now).increase
    found = []
    for each, name in LIMIT_NAMES.items():
        value, higher = getattr(limits, each), getattr(increase.limits, each) if increase else None
        if value is not None:
            text = _readable(each, value, currency)
            if increase and higher is not None:
                until = f"{increase.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
                text += f" ({_readable(each, higher, currency)} until {until})"
            found.append((name, text))
    return found


def works(record: KeyRecord, now: datetime) -> bool:
    """Return True if requests may use a key."""
    return record.status == "active" and (record.expires_at is None or record.expires_at > now)


def in_order(records: Iterable[KeyRecord], now: datetime) -> list[KeyRecord]:
    """Return keys as pages list them: those that work before those that have ended, the newest first."""
    return sorted(records, key=lambda each: (not works(each, now), -each.created_at.timestamp()))


def typed_name(record: KeyRecord) -> str:
    """Return what has to be typed to revoke a key: its name as browsers show it, or its id where it has none."""
    return single_spaced(record.name) or record.key_id


def _limit(text: str, limit: str, currency: Currency) -> int | str | None:
    if not text:
        return None
    return str(atomic_units(text, currency)) if limit in MONEY else _count(text, LIMIT_NAMES[limit])


def _count(text: str, field: str) -> int:
    if not _COUNT.fullmatch(text) or int(text) > MOST_COUNT:
        raise _unusable(f"{field}: expected a whole number from 1 on.")
    return int(text)


def _readable(limit: str, value: int | str, currency: Currency) -> str:
    return readable_amount(int(value), currency) if limit in MONEY else grouped(value)


def _written(count: int | None) -> str:
    return "" if count is None else f"{count}"


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
