"""Bounds what a gateway reports by what its request allows: nobody pays for more than was requested."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from config.workloads import Unit
from middlewares.ledger.model import Usage


def bounded(usage: Usage, most: Mapping[Unit, int]) -> Usage:
    """Return usage in which no unit is above `most`, marked for attention if one was. Units that it omits stay."""
    for unit, count in usage.units.items():
        if count > most.get(unit, count):
            units = {unit: min(count, most.get(unit, count)) for unit, count in usage.units.items()}
            return structs.replace(usage, units=units, attention=True)
    return usage
