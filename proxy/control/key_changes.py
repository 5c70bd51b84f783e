"""Changes of a living API key: what may be changed, and what of it cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, TypedDict

from config.networks import parse_network
from config.origins import browser_origin
from config.workloads import Workload
from middlewares.auth.records import KeyRecord
from middlewares.ledger.admission.key_limits import NO_LIMITS, Increase, KeyLimits

MONEY = ("spend_per_day", "spend_per_month", "spend_total")
"""Members of `KeyLimits` that are amounts."""
COUNTS = ("requests_per_minute", "concurrent")
MOST_MONEY = 10**27
MOST_COUNT = 2**53
LONGEST_DESCRIPTION = 1_000
MOST_ORIGINS = 100
LONGEST_ORIGIN = 300

_STREAM = re.compile(r"[A-Za-z0-9._-]{1,200}")
_AMOUNT = re.compile(r"[1-9]\d*")

LimitChange = Mapping[str, int | str | None]
"""Members of `KeyLimits` with their new values; None removes a limit, what is not named stays."""


class UnusableMember(ValueError):
    """A member of a key cannot be meant; the message names it, and what it takes."""


class KeyChange(TypedDict, total=False):
    """What may be changed of a key; what is left out stays. Empty iterables, and None, narrow nothing any more."""

    name: str
    description: str
    expires_at: datetime | None
    limits: LimitChange
    increase: Increase | None
    workloads: Iterable[Workload]
    models: Iterable[str]
    cidrs: Iterable[str]
    origins: Iterable[str]
    streams: Iterable[str]


def handed_out(keys: Iterable[KeyRecord], older: Iterable[KeyRecord] = ()) -> list[KeyRecord]:
    """Return the keys without those of rotations that were cut short, or are on their way: nobody knows their text.

    The key that such a one should have replaced does not name it; it must be among `keys` or `older`.
    """
    found = list(keys)
    by_id = {key.key_id: key for key in (*older, *found)}
    return [key for key in found if (old := by_id.get(key.replaces or "")) is None or old.replaced_by == key.key_id]


def without_ended_increase(record: KeyRecord, now: datetime) -> KeyRecord:
    """Return the key, without an increase that is over: it binds nothing any more."""
    ended = record.increase is not None and record.increase.until <= now
    return replace(record, increase=None) if ended else record


def changed(record: KeyRecord, change: KeyChange, now: datetime) -> KeyRecord:
    """Return the key with these changes. Raises `UnusableMember`."""
    try:
        return _changed(without_ended_increase(record, now), change)
    except UnusableMember:
        raise
    except ValueError as error:  # of an address
        raise UnusableMember(str(error)) from None


def _changed(record: KeyRecord, change: KeyChange) -> KeyRecord:
    members: dict[str, Any] = dict(change)
    for name in ("workloads", "models", "streams"):
        if name in members:
            members[name] = frozenset(members[name] or ()) or None
    if "cidrs" in members:
        members["cidrs"] = tuple(str(parse_network(cidr)) for cidr in members["cidrs"] or ()) or None
    if "origins" in members:
        members["origins"] = tuple(dict.fromkeys(members["origins"] or ())) or None
    if "limits" in members:
        members["limits"] = _limits(record.limits or NO_LIMITS, members["limits"])
    return _checked(replace(record, **members))


def shared_by_family(change: KeyChange) -> KeyChange:
    """Return the part of a change that the keys before it by rotation follow, because they share its counters."""
    shared: KeyChange = {}
    if "limits" in change:
        shared["limits"] = change["limits"]
    if "increase" in change:
        shared["increase"] = change["increase"]
    return shared


def increase_of(limits: LimitChange, until: datetime) -> Increase:
    """Return the temporary increase to these limits. Raises `UnusableMember`."""
    higher = _limits(NO_LIMITS, limits)
    if higher is None:
        raise UnusableMember("an increase names at least one limit")
    if until.tzinfo is None:
        raise UnusableMember("the end of an increase must have a time zone")
    return Increase(higher, until)


def _limits(known: KeyLimits, change: LimitChange) -> KeyLimits | None:
    """Return the limits with this change; None if none is left."""
    for name, value in change.items():
        if name in COUNTS:
            valid = value is None or (type(value) is int and 0 < value <= MOST_COUNT)
        else:
            text = str(value)
            valid = value is None or (bool(_AMOUNT.fullmatch(text)) and len(text) < 40 and int(text) <= MOST_MONEY)
        if not valid:
            most = MOST_COUNT if name in COUNTS else "10^27 atomic units"
            raise UnusableMember(f"{name} must be a whole number from 1 to {most}")
    members: dict[str, Any] = {name: str(value) if name in MONEY and value else value for name, value in change.items()}
    new = replace(known, **members)
    return None if new == NO_LIMITS else new


def _checked(record: KeyRecord) -> KeyRecord:
    """Return the record. Raises `UnusableMember` for one that cannot be meant."""
    for origin in record.origins or ():
        if origin == "*":
            raise UnusableMember("origins: `*` is no origin; a key without origins may be used from all")
        try:
            browser_origin(origin)
        except ValueError as error:
            raise UnusableMember(f"origins: {error}") from None
    for stream in record.streams or ():
        if not _STREAM.fullmatch(stream):
            raise UnusableMember("streams: a name has 1 to 200 letters, digits, `.`, `_` and `-`")
    if len(record.description) > LONGEST_DESCRIPTION or not record.description.replace("\n", "").isprintable():
        raise UnusableMember(
            f"description must have at most {LONGEST_DESCRIPTION} characters and no control characters"
        )
    if record.increase is not None:
        _check_increase(record.limits or NO_LIMITS, record.increase)
    return record


def _check_increase(limits: KeyLimits, increase: Increase) -> None:
    for member in fields(increase.limits):
        higher, usual = getattr(increase.limits, member.name), getattr(limits, member.name)
        if higher is None:
            continue
        if usual is None:
            raise UnusableMember(f"increase: the key has no {member.name} of its own that could be raised")
        if int(higher) <= int(usual):
            raise UnusableMember(f"increase: {member.name} must be above the usual {usual}")
