"""Prunes the events of one hash tag now and then, a bounded number at a time, beside archiving."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.history.archive.context import TagContext
from proxy.history.archive.lease import Look
from proxy.history.batch import Entry
from proxy.history.reader import LedgerSources
from proxy.history.retention import prune as pruning
from proxy.history.retention.boundary import wanted

EVERY_MS = 3_600_000
"""Milliseconds between two looks for events to prune, Redis time."""
BATCHES = 4
"""Most batches at a time; a backlog goes on with the next round of the archiver."""
ARCHIVER = Actor(ActorKind.SYSTEM, "archiver")


class Pruner:
    """Prunes for the archiver that has the lease of a hash tag."""

    def __init__(self, context: TagContext) -> None:
        self._number = context.number
        self._history = context.history
        self._months = context.settings.events_months
        self._observer = context.observer
        self._audit = AuditLog(context.client)
        self._next_ms = 0
        self._holding: set[str] = set()
        self._stream = context.stream

    async def prune(self, look: Look) -> None:
        """Prune what the settings say, if it is time, and write an audit line if anything went."""
        if self._months is None or look.now_ms < self._next_ms:
            return
        first = None if look.first is None else look.first.ms
        bound = wanted(look.now_ms, self._months)
        gone = boundary = 0
        for _ in range(BATCHES):
            planned, deleted = await self._history.write(pruning.prune, self._number, bound, first)
            gone, boundary = gone + deleted, planned.boundary_ms
            if deleted < pruning.BATCH:
                self._next_ms = look.now_ms + EVERY_MS
                self._report(planned)
                break
        if gone:
            self._observer.pruned(gone)
            await self._audit.record(
                ARCHIVER, "history.prune", AuditTarget("history", ""), detail=detail_of(boundary, gone)
            )

    def _report(self, planned: pruning.PrunePlan) -> None:
        for name in planned.groups:
            if name not in self._holding:
                self._observer.group_holds_pruning(self._stream, name)
        self._holding = set(planned.groups)


async def prune_all(
    sources: LedgerSources, bound_ms: int, *, dry_run: bool
) -> AsyncIterator[tuple[str, pruning.PrunePlan, int]]:
    """Prune all streams up to a moment, or only count; yield the name of each, its plan, and how many events it was."""
    client: Any = sources.client
    for number, tag in enumerate(sources.keys.tags):
        stream, gone, more = sources.keys.shared(tag).events, 0, True
        while more:
            found = await client.xrange(stream, count=1)
            first = Entry.parse(found[0][0]).ms if found else None
            if dry_run:
                planned, events = await sources.history.read(pruning.dry_run, number, bound_ms, first)
            else:
                planned, events = await sources.history.write(pruning.prune, number, bound_ms, first)
            gone, more = gone + events, not dry_run and events == pruning.BATCH
        yield stream, planned, gone


def detail_of(boundary_ms: int, events: int) -> dict[str, str | int | None]:
    """Return the details of an audit line: how many events went, and the first day that was kept."""
    kept = datetime.fromtimestamp(boundary_ms / 1_000, UTC).date().isoformat()
    return {"events": events, "kept_from_ms": boundary_ms, "kept_from": kept}
