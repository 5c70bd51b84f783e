"""What operators look for over all apps. Each function takes the connection of a transaction first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, text

from middlewares.json_codec import to_json
from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.rows import decoded
from proxy.history.queries import ENTRY_COLUMNS, ArchivedEntry, agree, archived_entries
from proxy.history.tables import EVENTS, REFUSALS


@dataclass(frozen=True, slots=True)
class RefusalFilter:
    """The refusals that are wanted."""

    app: str = ""
    """Only those of this app; empty: of all."""
    status: int | None = None
    """Only those with this HTTP status; None: all."""
    model: str = ""
    """Only those of requests for this model; empty: of all."""

    @property
    def written(self) -> list[str]:
        """Return what the JSON of each of them has in it."""
        status = [] if self.status is None else [f'"status":{self.status},']
        return status + ([f'"model":{to_json(self.model).decode()}'] if self.model else [])

    def wants(self, record: RefusalRecord) -> bool:
        """Return True if a refusal is among them."""
        named = (record.app, self.app or None), (record.status, self.status), (record.model, self.model or None)
        return agree(*named)


ALL = RefusalFilter()
_MARKED = {
    "sqlite": text(r"""instr(event, '"attention"\:true') > 0"""),
    "postgresql": text(r"""strpos(event, '"attention"\:true') > 0"""),
}
"""True of every event that needs attention, and perhaps of others; the condition of their index."""


def marked_events(connection: Connection, tag: int, after: tuple[int, str], limit: int) -> list[ArchivedEntry]:
    """Return at most `limit` events of a hash tag that may need attention, by time (Unix ms) and id, behind one."""
    return archived_entries(connection, marked_query(connection.dialect.name, tag, after), limit)


def marked_query(dialect: str, tag: int, after: tuple[int, str]) -> Select[Any]:
    """Return the query of `marked_events`, for `sqlite` or `postgresql`."""
    time, name = after
    beyond = or_(EVENTS.c.time > time, and_(EVENTS.c.time == time, EVENTS.c.id > name))
    wanted = (EVENTS.c.tag == tag, EVENTS.c.time >= time, _MARKED[dialect], beyond)
    return select(*ENTRY_COLUMNS).where(*wanted).order_by(EVENTS.c.time, EVENTS.c.id)


def newest_refusals(
    connection: Connection, place: tuple[int, str], limit: int, of: RefusalFilter = ALL
) -> list[RefusalRecord]:
    """Return the newest refusals behind a place, the newest first, those of one moment by id.

    The place is the time (Unix ms) and id of a refusal. With an empty id it is before all refusals of that time.
    """
    time, name = place
    identity: ColumnElement[str] = REFUSALS.c.id
    if connection.dialect.name == "postgresql":
        identity = identity.collate("C")  # the order of Python, and of SQLite
    behind = or_(REFUSALS.c.time < time, and_(REFUSALS.c.time == time, identity > name))
    written = [REFUSALS.c.refusal.contains(each, autoescape=True) for each in of.written]
    of_app = [REFUSALS.c.app == of.app] if of.app else []
    query = select(REFUSALS.c.refusal).where(REFUSALS.c.time <= time, behind, *of_app, *written)
    ordered = query.order_by(REFUSALS.c.time.desc(), identity).limit(limit)
    return decoded(each.encode() for each in connection.execute(ordered).scalars())
