"""Reads what an app, or one of its users, used, the newest first, out of history and stream as if they were one.

A page needs nothing but the place where the one before it ended, so that readers keep nothing and none is stale. What
is written meanwhile is newer, and stands on the first page of the next reader; only events that come late, from a
journal, may lie where a reader has been already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from proxy.history.batch import read
from proxy.history.packing import StreamEntry
from proxy.history.places import TimePlace
from proxy.history.queries import ENTRY_COLUMNS, ArchivedEntry, agree, archived_entries
from proxy.history.reader import LedgerEntries, LedgerSources
from proxy.history.tables import EVENTS

USED = ("usage", "adjustment")
"""Types of events that are counted in usage; credits are not."""
LOOK_AT = 20_000
"""Events of the app, of all its users, that are looked at for one page."""


class _Found(NamedTuple):
    entries: list[ArchivedEntry]
    floor: int | None
    """Time before which nothing was looked at; None: all was."""


@dataclass(frozen=True, slots=True)
class UsesPage:
    """The page that is wanted."""

    times: tuple[int, int]
    """First Unix millisecond, and the first that is not wanted any more."""
    before: TimePlace | None
    """Where the page before it ended; None: it is the first."""
    limit: int
    look_at: int = LOOK_AT
    user: str | None = None
    """Only uses of this user; None: of the whole app."""
    model: str | None = None
    """Only uses of this model; None: of all."""
    outcome: str | None = None
    """Only uses that ended like this; None: all."""
    status: int | None = None
    """Only uses to whose client this HTTP status was sent; None: all."""

    @property
    def place(self) -> TimePlace:
        """Return where it begins."""
        return self.before or TimePlace(self.times[1], "")

    def wants(self, user: str | None, model: str, outcome: str, status: int) -> bool:
        """Return True if a use by that user, of that model, which ended like that, may be on the page."""
        named = (user, self.user), (model, self.model), (outcome, self.outcome), (status, self.status)
        return agree(*named)


def _archived(connection: Connection, app: str, page: UsesPage) -> _Found:
    times, place = page.times, page.place
    time = EVENTS.c.time
    identity: ColumnElement[str] = EVENTS.c.id
    if connection.dialect.name == "postgresql":
        identity = identity.collate("C")  # the order of Python, and of SQLite
    last = place.time if place.id else place.time - 1
    of_app = (EVENTS.c.app == app, time >= times[0], time < times[1], time <= last)
    edge = select(time).where(*of_app).order_by(time.desc()).limit(1).offset(page.look_at)
    floor: int | None = connection.execute(edge).scalar()
    named = (EVENTS.c.user_id, page.user), (EVENTS.c.model, page.model), (EVENTS.c.outcome, page.outcome)
    chosen = [column == value for column, value in named if value is not None]
    if page.status is not None:  # it has no column; in texts of an event quotes are escaped, so that this is none
        written = (EVENTS.c.event.contains(f'"status":{page.status}{end}', autoescape=True) for end in ",}")
        chosen.append(or_(*written))
    wanted = (*of_app, EVENTS.c.type.in_(USED), *chosen)
    beyond = or_(time < last, and_(time == last, identity < place.id)) if place.id else time <= last
    query = select(*ENTRY_COLUMNS).where(*wanted, beyond, time >= (times[0] if floor is None else floor))
    ordered = query.order_by(time.desc(), identity.desc())
    return _Found(archived_entries(connection, ordered, page.limit + 1), floor)


async def newest_uses(sources: LedgerSources, app: str, page: UsesPage) -> tuple[list[StreamEntry], TimePlace | None]:
    """Return the uses of a page, the newest first, and where the next page begins.

    The place is None behind the last page. A page may have fewer uses, or none, before that: what is looked at for it
    is bounded. Raises what `LedgerEntries` does.
    """
    times, place, limit = page.times, page.place, page.limit
    entries = LedgerEntries.of_app(sources, app)
    found = await entries.begin(lambda connection: _archived(connection, app, page))
    floor = times[0] if found.floor is None else found.floor
    archived = [(str(each.entry).encode(), each.fields) for each in found.entries]
    uses: list[tuple[TimePlace, StreamEntry]] = [
        (TimePlace(each.time, read(0, [entry])[0].id), entry)
        for each, entry in zip(found.entries, archived, strict=True)
    ]
    async for entry in entries.streamed():
        [each] = read(0, [entry])
        event = each.event
        if event is None or event.type not in USED:
            continue
        if not page.wants(event.user, event.model, event.outcome, event.status):
            continue
        at = TimePlace(event.time, each.id)
        if floor <= event.time < times[1] and at < place:
            uses.append((at, entry))
    uses.sort(key=lambda use: use[0], reverse=True)
    chosen = uses[:limit]
    if len(uses) > limit:
        following: TimePlace | None = chosen[-1][0]
    else:
        following = None if found.floor is None else TimePlace(found.floor, "")
    return [entry for _, entry in chosen], following
