"""Which events are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from middlewares.exchange import Outcome


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are wanted: days as `2026-11-21`, both included; None: any."""

    first: str | None = None
    last: str | None = None
    outcome: Outcome | None = None
    limit: int = 1_000
    after: str = ""
    """`next` of the page before; empty: the first page."""
