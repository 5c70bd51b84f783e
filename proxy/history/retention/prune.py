"""Deletes old events from the history. Their running totals and the sums of their wallets stay.

The boundary is recorded first, in the transaction of the first batch: from then on `verify` goes by the sums for what
is before it, so that it does not matter how much of that is deleted already.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from proxy.history.batch import Entry
from proxy.history.queries import Cursor, cursor, seq_at
from proxy.history.retention.boundary import allowed
from proxy.history.tables import CURSORS, EVENTS, EXPORT_GROUPS

BATCH = 5_000
"""Most events that one transaction deletes."""


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What may be pruned of one hash tag."""

    boundary_ms: int
    """Events before it go; 0: none."""
    up_to: int
    """Largest `seq` that may go."""
    groups: tuple[str, ...]
    """Export groups that still need events before the boundary."""


def plan(connection: Connection, found: Cursor, wanted_ms: int, first_ms: int | None) -> PrunePlan:
    """Return what may be pruned; see `boundary.allowed` for the arguments."""
    boundary = max(found.pruned, allowed(wanted_ms, found.closed, first_ms))
    # rows are nearly in the order of their entries, so that this ends at the first one that is kept
    end = min(seq_at(connection, found.tag, Entry(boundary - 1, 2**63 - 1)), found.seq) if boundary else 0
    of_tag = select(EXPORT_GROUPS.c.name, EXPORT_GROUPS.c.seq).where(EXPORT_GROUPS.c.tag == found.tag)
    holding = [row for row in connection.execute(of_tag.order_by(EXPORT_GROUPS.c.name)) if row.seq < end]
    return PrunePlan(boundary, min([end, *(row.seq for row in holding)]), tuple(row.name for row in holding))


def prunable(connection: Connection, tag: int, planned: PrunePlan) -> int:
    """Return how many events a plan deletes."""
    query = select(func.count()).select_from(EVENTS).where(*_rows(tag, planned))
    return int(connection.execute(query).scalar_one())


def dry_run(connection: Connection, tag: int, wanted_ms: int, first_ms: int | None) -> tuple[PrunePlan, int]:
    """Return what would be pruned of a hash tag, and how many events that is; nothing changes."""
    found = cursor(connection, tag)
    planned = plan(connection, found, wanted_ms, first_ms) if found else PrunePlan(0, 0, ())
    return planned, prunable(connection, tag, planned)


def prune(connection: Connection, tag: int, wanted_ms: int, first_ms: int | None) -> tuple[PrunePlan, int]:
    """Delete at most `BATCH` events of a hash tag; return the plan, and how many were deleted."""
    found = cursor(connection, tag, lock=True)
    if found is None:
        return PrunePlan(0, 0, ()), 0
    planned = plan(connection, found, wanted_ms, first_ms)
    batch = select(EVENTS.c.seq).where(*_rows(tag, planned)).order_by(EVENTS.c.seq).limit(BATCH)
    seqs = list(connection.execute(batch).scalars())
    if not seqs:
        return planned, 0
    connection.execute(update(CURSORS).where(CURSORS.c.tag == tag).values(pruned_ms=planned.boundary_ms))
    deleted = connection.execute(delete(EVENTS).where(*_rows(tag, planned), EVENTS.c.seq <= seqs[-1])).rowcount
    return planned, deleted


def _rows(tag: int, planned: PrunePlan) -> tuple[ColumnElement[bool], ...]:
    before = planned.boundary_ms
    return (
        EVENTS.c.tag == tag,
        EVENTS.c.seq <= planned.up_to,
        EVENTS.c.time < before,
        EVENTS.c.entry_ms < before,
    )
