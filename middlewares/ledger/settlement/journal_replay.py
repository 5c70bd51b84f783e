"""Writes journals to Redis once it is back, each record exactly once."""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path

from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.settlement.journal import AdoptedJournal, Journal, adopt, keep_corrupt
from middlewares.ledger.settlement.settler import Settler, orphan
from middlewares.store import StoreError


async def empty_journal(
    journal: Journal,
    open_holds: Set[str],
    settler: Settler,
    on_written: Callable[[Settlement], None] = lambda _: None,
) -> tuple[int, Path | None]:
    """Write what is new in this worker's own journal; return how many settlements, and what had to be set aside.

    `on_written` is called with each that is in Redis from now on.

    Requests in `open_holds` still run, or their end is on its way: the file stays for their holds, but is not read
    again. Holds of other requests have ended, in this journal or elsewhere. Redis still being away is no error.
    """
    written, aside = 0, None
    await journal.flushed()
    end = journal.size
    if journal.replayed < end:
        records, corrupt = journal.unreplayed()
        settlements = [record.settlement for record in records if record.settlement]
        try:
            written = await settler.settle_again(settlements)
        except StoreError:
            return 0, None
        for settlement in settlements:
            on_written(settlement)
        aside = keep_corrupt(journal.path.with_suffix(f".{journal.replayed}"), corrupt)
        journal.replayed = end
    if 0 < journal.size == journal.replayed and not journal.holds & open_holds:
        journal.clear()
    return written, aside


async def adopt_journals(
    folder: Path, settler: Settler, clock: RedisClock, on_orphan: Callable[[Hold], None] = lambda _: None
) -> tuple[int, list[Path]]:
    """Write the journals that dead workers left in `folder`; return how many records, and what had to be set aside.

    `on_orphan` is called with each hold whose end is in none of them. Raises `StoreError`; what was not written stays
    for another try.
    """
    written = 0
    aside: list[Path] = []
    found = adopt(folder)
    try:
        while found:
            written += await _take_over(found[0], aside, settler, clock)
            for hold in found.pop(0).orphans:
                on_orphan(hold)
    finally:
        for journal in found:
            journal.release()
    return written, aside


async def _take_over(journal: AdoptedJournal, aside: list[Path], settler: Settler, clock: RedisClock) -> int:
    corrupt = keep_corrupt(journal.path, journal.corrupt)
    if corrupt:
        aside.append(corrupt)
    await settler.found_logs.note(journal.incarnation)
    await settler.fences.bar(journal.incarnation, [*(each.hold for each in journal.settlements), *journal.orphans])
    orphans = [_orphan(hold, clock) for hold in journal.orphans]
    written = await settler.settle_again(journal.settlements + orphans)
    journal.remove()
    return written


def _orphan(hold: Hold, clock: RedisClock) -> Settlement:
    settlement = orphan(hold, clock.now_ms())
    settlement.attempted_ms = hold.started_ms
    return settlement
