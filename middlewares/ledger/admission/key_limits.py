"""The limits that an API key has of its own, beside those of its plan. Pure data, as records keep it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key, with those that it was rotated to, may use at most. None: not limited.

    Amounts are decimal strings of atomic units: the numbers of JSON are too small for them.
    """

    requests_per_minute: int | None = None
    concurrent: int | None = None
    spend_per_day: str | None = None
    """Most money in a calendar day, in UTC."""
    spend_per_month: str | None = None
    """Most money in a calendar month, in UTC."""
    spend_total: str | None = None
    """Most money in the whole life of the key."""


NO_LIMITS = KeyLimits()


@dataclass(frozen=True, slots=True)
class Increase:
    """Higher limits for some time. What it does not name stays as it is."""

    limits: KeyLimits
    until: datetime
    """The first moment, in Redis time, at which the key's usual limits hold again."""


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What the ledger knows of a key beside its id."""

    family: str
    """Id of the first key that it descends from by rotation: counters are kept by this, so that they outlive keys."""
    limits: KeyLimits = NO_LIMITS
    increase: Increase | None = None
