"""What operators look for over all apps. Each function takes the connection of a transaction first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select, text

from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.rows import decoded
from proxy.history.queries import ENTRY_COLUMNS, ArchivedEntry, archived_entries
from proxy.history.tables import EVENTS, REFUSALS

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


def newest_refusals(connection: Connection, before_ms: int, limit: int) -> list[RefusalRecord]:
    """Return the newest refusals of all apps before this Unix millisecond, the newest first."""
    query = select(REFUSALS.c.refusal).where(REFUSALS.c.time < before_ms).order_by(REFUSALS.c.time.desc()).limit(limit)
    return decoded(each.encode() for each in connection.execute(query).scalars())
