"""The erasure of an app or of one of its users, from records to the last copy in a stream.

Records end first, so that nothing new comes; then everything that waits is archived; then history, references and
streams are erased. Each step may be repeated, so that an erasure that was cut off is run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.control.audit.log import STREAM as AUDIT_STREAM
from proxy.control.erasure import SubjectRecords, erase_records, erase_references
from proxy.history import queries
from proxy.history.archive.archiver import Archiver
from proxy.history.archive.groups import groups
from proxy.history.batch import START, Entry, read
from proxy.history.explain.rows import erase_refusals
from proxy.history.queries import PAGE
from proxy.history.reader import LedgerSources
from proxy.history.retention.erase import erase_audit, erase_events, erase_webhooks, has_text

ARCHIVED_WITHIN = 30.0
"""Seconds in which everything that waits has to be archived, by this process or by the one that has the lease."""
_POLL_SECONDS = 0.2


class ErasureIncomplete(Exception):
    """Something could not be erased yet; the message says what to do, and the same erasure goes on later."""

    audit_code = "erasure_incomplete"


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was erased."""

    events: int
    audit_lines: int
    references: int
    entries: int
    """Entries that were removed from the usage stream, as the history has them."""


async def erase(sources: LedgerSources, archiver: Archiver, subject: SubjectRecords) -> Erased:
    """Erase a subject. Raises `ErasureIncomplete`, `HistoryUnavailable` and the errors of the client."""
    app, user = subject.app.client_id, subject.user
    await erase_records(sources.client, subject)
    if user is None:
        await sources.history.write(erase_webhooks, app)
    await _archive_all(sources, archiver, app)
    events = await _rows(sources, erase_events, app, user)
    await _erase_refusals(sources, app, user)
    lines = await _rows(sources, erase_audit, app, None if user is None else subject.ids, subject.names)
    references = await erase_references(sources.client, sources.keys, app, user)
    entries = await _clear_stream(sources, app, user)
    return Erased(events, lines, references, entries)


async def _rows(sources: LedgerSources, work: Callable[..., tuple[int | None, int]], *arguments: Any) -> int:
    """Run a function of `retention.erase` page by page; return how many rows it has changed."""
    after: int | None = 0
    changed = 0
    while after is not None:
        after, more = await sources.history.write(work, *arguments, after)
        changed += more
    return changed


async def _archive_all(sources: LedgerSources, archiver: Archiver, app: str) -> None:
    """See that events of the app and audit lines that are in Redis now are in the history."""
    client: Any = sources.client
    tag = sources.keys.tag(app)
    number, stream = sources.keys.tags.index(tag), sources.keys.shared(tag).events
    last, last_line = [await _last(client, each) for each in (stream, AUDIT_STREAM)]
    try:
        async with asyncio.timeout(ARCHIVED_WITHIN):
            while True:
                await archiver.advance()
                cursor = await sources.history.read(queries.cursor, number)
                waiting = last_line > START and await client.xrange(AUDIT_STREAM, "-", str(last_line), count=1)
                if not waiting and (last == START or (cursor is not None and cursor.entry >= last)):
                    return
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise ErasureIncomplete(
            "records are erased, but not everything in Redis is archived yet (a backup may be under way): "
            "run the same erasure again"
        ) from None
    finally:
        await archiver.release()


async def _erase_refusals(sources: LedgerSources, app: str, user: str | None) -> None:
    """Delete recorded refusals: the ring first, with those of all users, so that nothing of it is archived later."""
    client: Any = sources.client
    await client.delete(sources.keys.refusals(app))
    await client.delete(sources.keys.unrecorded(app))
    await sources.history.write(erase_refusals, app, user)


async def _last(client: Any, stream: str) -> Entry:
    found = await client.xrevrange(stream, count=1)
    return Entry.parse(found[0][0]) if found else START


async def _clear_stream(sources: LedgerSources, app: str, user: str | None) -> int:
    """Remove entries with text of the subject from its stream, which the history has. Return how many."""
    client: Any = sources.client
    tag = sources.keys.tag(app)
    number, stream = sources.keys.tags.index(tag), sources.keys.shared(tag).events
    needed = min((group.needs for group in await groups(client, stream)), default=None)
    after, removed, held = START, 0, 0
    while entries := await client.xrange(stream, after.next, count=PAGE):
        after = Entry.parse(entries[-1][0])
        found = [each for each in read(number, entries) if _is_of(each, app, user) and has_text(each.fields)]
        known = await sources.history.read(queries.known_ids, [each.id for each in found]) if found else set()
        for each in found:
            if each.id not in known or (needed is not None and each.entry >= needed):
                held += 1
            else:
                removed += await client.xdel(stream, str(each.entry))
    if held:
        raise ErasureIncomplete(
            f"{held} change{' of credits waits' if held == 1 else 's of credits wait'} in Redis for an export group or "
            "a backup: let it read "
            "on (`tollgate history status` names it), and run the same erasure again"
        )
    return removed


def _is_of(each: Any, app: str, user: str | None) -> bool:
    if each.event is None:
        marked = b'"app":' + msgspec.json.encode(app) in each.fields.get(b"event", b"")
        return user is None and marked
    return each.event.app == app and user in (None, each.event.user)
