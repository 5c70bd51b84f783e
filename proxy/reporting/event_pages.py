"""Pages of an app's events, and single events by id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from middlewares.ledger.settlement.event import Event
from proxy.history import queries
from proxy.history.packing import Fields
from proxy.history.pages import AppPages, EventPlace
from proxy.history.places import place_of, text_of
from proxy.history.reader import LedgerEntries, LedgerSources
from proxy.reporting.dates import EVER, Days
from proxy.reporting.stream import RecordedEvent, UnreadableEvent, decode

MARKED = b'"attention":true'
"""Text that is in every event that needs attention, and may be in others, too."""

LOOKS = 20
"""How often `limit` entries are looked through for a page that has nothing yet."""


@dataclass(slots=True)
class RecordedEvents:
    """One page."""

    place: str
    """Where the next page begins."""
    more: bool
    """False: nothing is behind this page at the moment."""
    events: list[RecordedEvent] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def _all(_: Fields) -> bool:
    return True


def marked(fields: Fields) -> bool:
    """Return True if an entry may be an event that needs attention, without decoding it."""
    return MARKED in fields.get(b"event", b"")


async def read_page(
    sources: LedgerSources,
    app: str,
    days: Days,
    after: str,
    limit: int,
    *,
    wanted: Callable[[Event], bool] = lambda _: True,
    candidate: Callable[[Fields], bool] = _all,
) -> RecordedEvents:
    """Return at most `limit` events of these days that are `wanted`; `after` is the place of the page before.

    `candidate` sorts out entries before they are decoded. A page may have fewer events, or none, before the end: what
    is looked through for it is bounded. Raises `BadPlace`, `StalePlace`, and what `LedgerEntries` does.
    """
    pages = AppPages(sources, sources.keys.tag(app), app)
    place, found = place_of(after, EventPlace) if after else None, RecordedEvents("", more=True)
    times = max(days.start_ms, EVER.start_ms), days.end_ms  # a place has no time before all events
    for _ in range(LOOKS):
        entries, place = await pages.page(times, place, limit)
        for entry, fields in entries:
            if not candidate(fields):
                continue
            try:
                recorded = decode(pages.stream, entry, fields)
            except UnreadableEvent as error:
                found.unreadable.append(str(error))
                continue
            if recorded.event.time in days and wanted(recorded.event):
                found.events.append(recorded)
        found.place, found.more = text_of(place), not await pages.at_end(place)
        if found.events or found.unreadable or not found.more:
            break
    return found


async def find_events(sources: LedgerSources, app: str, ids: set[str]) -> dict[str, RecordedEvent]:
    """Return those of the app's events that have these ids, from history and stream."""
    entries = LedgerEntries.of_app(sources, app)
    archived = await entries.begin(lambda connection: queries.by_ids(connection, app, sorted(ids)))
    found: dict[str, RecordedEvent] = {}
    for each in archived:
        recorded = decode(entries.stream, str(each.entry).encode(), each.fields)
        found[recorded.event.id] = recorded
    needles = [f'"id":{msgspec.json.encode(each).decode()}'.encode() for each in ids]
    async for entry, fields in entries.streamed():
        event = fields.get(b"event", b"")
        if any(needle in event for needle in needles):
            recorded = decode(entries.stream, entry, fields)
            if recorded.event.id in ids:
                found.setdefault(recorded.event.id, recorded)
    return found
