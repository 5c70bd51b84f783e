"""Which events, and which audit lines, are asked for."""

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


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which audit lines are wanted; None: any."""

    app: str | None = None
    actor: str | None = None
    action: str | None = None
    """An action such as `key.revoke`, or all of a kind: `key`."""
    target: str | None = None
    since_ms: int = 0
    """First Unix millisecond."""
    until_ms: int | None = None
    """First Unix millisecond that is not wanted any more."""
    limit: int = 1_000
    before: str = ""
    """`next` of the page before; empty: the first page."""
