"""Sizes and durations of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run. The targets are meant for `FULL`."""

    rounds: int
    seconds: int
    """Length of one measurement under load."""
    bulk_bytes: int
    open_streams: int
    events: int
    """Server-sent events on each of the relayed streams."""
    keys: tuple[int, int, int]
    """API keys in the store."""
    soak: tuple[int, int]
    """Requests after which memory is looked at."""


FULL = Scale(
    rounds=5,
    seconds=5,
    bulk_bytes=1 << 30,
    open_streams=2_000,
    events=200,
    keys=(10, 100_000, 1_000_000),
    soak=(100_000, 1_000_000),
)
QUICK = Scale(
    rounds=2,
    seconds=2,
    bulk_bytes=1 << 27,
    open_streams=500,
    events=100,
    keys=(10, 1_000, 20_000),
    soak=(2_000, 10_000),
)
