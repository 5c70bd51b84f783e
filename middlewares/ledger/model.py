"""What stages and ledger say to each other: admissions, holds, usage, events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from config.workloads import Unit, Workload


class Provenance(StrEnum):
    """Where a number of a usage event comes from (design of the event: every unit names its source)."""

    MEASURED = "measured"
    """Read by the gate from the bytes that passed."""
    UPSTREAM = "upstream"
    """Said by the gateway's answer."""
    DECLARED = "declared"
    """Said by the client's request or by the plan."""
    ESTIMATED = "estimated"
    """Computed by the gate for want of anything better."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request turned out to use, as its meter saw it."""

    units: Mapping[Unit, int] = field(default_factory=dict)
    provenance: Mapping[Unit, Provenance] = field(default_factory=dict)
    complete: bool = True
    """False: the answer ended before the workload says it is whole, or is a success in status only."""
    finish_reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit as it stands for a request."""

    policy: str
    """Stable name, `<scope>-<rule>`, for example `app-requests-per-minute`."""
    unit: str
    """`requests`, `concurrent-requests`, or a sale unit."""
    limit: int
    remaining: int
    reset_seconds: int
    """Seconds until something of it is free again; 0: unknown."""
    window_seconds: int | None
    """None: not a window (concurrency, balance)."""
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """Who and what a request is accounted to."""

    app: str
    user: str | None
    key: str | None
    plan: str
    """Name and version, `<name>@<version>`."""
    workload: Workload
    model: str


@dataclass(slots=True)
class Hold:
    """An admitted request until it is settled: what is reserved for it, and where."""

    request_id: str
    subject: Subject
    started_ms: int
    """Redis time of admission, Unix milliseconds."""
    estimate: int
    """Reserved amount in atomic units."""
    estimated_units: Mapping[Unit, int]
    entries: tuple[tuple[str, ...], ...] = ()
    """What must be given back at the end: (kind, key, ...) as the scripts define it."""
    local: bool = False
    """Admitted by this worker alone while Redis was away: nothing is reserved there."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a forwarded request: everything its usage event says."""

    hold: Hold
    usage: Usage
    amount: int
    status: int
    outcome: str
    error: str
    gateway: str
    tier: str
    duration_ms: int
    upstream_ms: int | None
    bytes_in: int
    bytes_out: int
