"""Writes journals to Redis once it is back, each record exactly once."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

from middlewares.ledger.clock import RedisClock
from middlewares.ledger.journal import Adopted, Journal, Record, adopt
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.port import StoreError
from middlewares.ledger.settler import Settler, orphan


async def empty_journal(journal: Journal, living: Set[str], settler: Settler, clock: RedisClock) -> int:
    """Write this worker's own journal; how many records. Redis still being away is no error: 0.

    Requests in `living` still run: their hold records stay until they have ended.
    """
    if journal.size == 0:
        return 0
    await journal.flushed()
    size = journal.size
    records = journal.records()
    try:
        written = await _replay(records, living, settler, clock)
    except StoreError:
        return 0
    waiting = any(record.hold and record.hold.request_id in living for record in records)
    if journal.size == size and not waiting:
        journal.clear()
    return written


async def adopt_journals(folder: Path, settler: Settler, clock: RedisClock) -> tuple[int, list[Path]]:
    """Write the journals that dead workers left in `folder`: how many records, and what had to be set aside.

    Raises `StoreError`; what was not written stays for another try.
    """
    written = 0
    aside: list[Path] = []
    found = adopt(folder)
    try:
        while found:
            written += await _take_over(found[0], aside, settler, clock)
            found.pop(0)
    finally:
        for journal in found:
            journal.release()
    return written, aside


async def _take_over(journal: Adopted, aside: list[Path], settler: Settler, clock: RedisClock) -> int:
    set_aside = journal.set_aside()
    if set_aside:
        aside.append(set_aside)
    written = await _replay(journal.records, frozenset(), settler, clock)
    journal.remove()
    return written


async def _replay(records: Sequence[Record], living: Set[str], settler: Settler, clock: RedisClock) -> int:
    settlements = [record.settlement for record in records if record.settlement]
    ended = living | {settlement.hold.request_id for settlement in settlements}
    orphans = [_orphan(record.hold, clock) for record in records if record.hold and record.hold.request_id not in ended]
    return await settler.settle_again(settlements + orphans)


def _orphan(hold: Hold, clock: RedisClock) -> Settlement:
    settlement = orphan(hold, clock.now_ms())
    settlement.attempted_ms = hold.started_ms
    return settlement
