"""Events of all apps that need attention and are not decided, the oldest first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from middlewares.ledger.concurrency import gather_bounded
from proxy.history.explain.house import marked_events
from proxy.history.packing import StreamEntry
from proxy.history.places import TimePlace
from proxy.history.reader import LedgerEntries, LedgerSources
from proxy.reporting.event_pages import marked
from proxy.reporting.stream import RecordedEvent, UnreadableEvent, decode

_BEGIN = TimePlace(0, "")


async def read_attention(
    sources: LedgerSources, after: TimePlace | None, limit: int
) -> tuple[list[RecordedEvent], TimePlace | None]:
    """Return a page of open events, and where the next one begins; None: it is the last.

    Those that are decided are passed over, so that a page is full wherever there are enough. Raises what
    `LedgerEntries` does.
    """
    found: list[RecordedEvent] = []
    place = after or _BEGIN
    while True:
        batch = await _batch(sources, place, limit + 1)
        for each in await _undecided(sources, batch):
            if len(found) == limit:
                return found, place_at(found[-1])
            found.append(each)
        if len(batch) <= limit:
            return found, None
        place = place_at(batch[-1])


def place_at(recorded: RecordedEvent) -> TimePlace:
    """Return the place of an event."""
    return TimePlace(recorded.event.time, recorded.event.id)


async def _batch(sources: LedgerSources, after: TimePlace, limit: int) -> list[RecordedEvent]:
    """Return the next events that need attention, decided or not, of all hash tags."""
    of_tags = await gather_bounded(partial(_of_tag, sources, after, limit), sources.keys.tags)
    found = {each.event.id: each for of_tag in of_tags for each in of_tag}
    return sorted(found.values(), key=place_at)[:limit]


async def _of_tag(sources: LedgerSources, after: TimePlace, limit: int, tag: str) -> list[RecordedEvent]:
    entries = LedgerEntries(sources, tag)
    number = sources.keys.tags.index(tag)
    archived = await entries.begin(lambda connection: marked_events(connection, number, after, limit))
    read: list[StreamEntry] = [(str(each.entry).encode(), each.fields) for each in archived]
    read += [each async for each in entries.streamed() if marked(each[1])]
    found = []
    for entry, fields in read:
        try:
            recorded = decode(entries.stream, entry, fields)
        except UnreadableEvent:
            continue  # `tollgate verify` and `tollgate events` tell of it
        if recorded.event.attention and place_at(recorded) > after:
            found.append(recorded)
    return found


async def _undecided(sources: LedgerSources, events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    """Return those of the events that nobody has decided about, in their order."""
    of_app: defaultdict[str, list[str]] = defaultdict(list)
    for each in events:
        of_app[each.event.app].append(each.event.id)
    client: Any = sources.client
    decided: set[str] = set()
    for app, ids in of_app.items():
        texts = await client.hmget(sources.keys.resolutions(app), ids)
        decided |= {name for name, text in zip(ids, texts, strict=True) if text is not None}
    return [each for each in events if each.event.id not in decided]
