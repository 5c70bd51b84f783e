"""What is read from the history. Each function takes the connection of a transaction first."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Connection, Row, Select, Text, and_, any_, func, literal, or_, select

from middlewares.ledger.credit.erased import erased_id
from proxy.history.batch import Entry, Movement
from proxy.history.packing import unpacked
from proxy.history.tables import CURSORS, EVENTS, IDENTITY, REDIS_DAYS, TOTALS, WALLETS
from proxy.history.totals.total import Total

PAGE = 1_000
"""Rows read at a time, which bounds the memory of a reader."""

ENTRY_COLUMNS = (
    EVENTS.c.seq,
    EVENTS.c.entry_ms,
    EVENTS.c.entry_seq,
    EVENTS.c.time,
    EVENTS.c.event,
    EVENTS.c.amount,
    EVENTS.c.wallet,
    EVENTS.c.gross,
    EVENTS.c.fields,
)
"""Columns that `archived_entries` needs."""


def agree(*named: tuple[object, object]) -> bool:
    """Return True if each value is the one that is wanted, the second of its pair; None: any is."""
    return all(wanted is None or value == wanted for value, wanted in named)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the stream of one hash tag is archived."""

    tag: int
    token: int
    server: str
    """Run id of the Redis server that `entry` is of."""
    entry: Entry
    """The last entry that was archived."""
    seq: int
    """Largest `seq` of the tag's events: together with `entry` it says what is in the history."""
    trimmed: Entry
    """Entries up to this one may be gone from the stream."""
    closed: date | None
    """Last day whose running totals stand in the history alone."""
    pruned: int = 0
    """Unix milliseconds before which events may be pruned; their sums stay. 0: nothing was."""

    def replace(self, **changes: Any) -> Cursor:
        """Return a copy with these fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """One event of the history, with the entry and fields that it had in its stream."""

    seq: int
    entry: Entry
    time: int
    fields: dict[bytes, bytes]


def cursor(connection: Connection, tag: int, *, lock: bool = False) -> Cursor | None:
    """Return the cursor of a hash tag, None if nothing of it was ever archived; `lock`: until the transaction ends."""
    query = select(CURSORS).where(CURSORS.c.tag == tag)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _cursor(row)


def cursors(connection: Connection) -> dict[int, Cursor]:
    """Return the cursors by hash tag."""
    return {row.tag: _cursor(row) for row in connection.execute(select(CURSORS))}


def identity(connection: Connection) -> str:
    """Return what this history is called in the Redis that it belongs to."""
    return str(connection.execute(select(IDENTITY.c.id)).scalar_one())


def known_ids(connection: Connection, ids: Sequence[str], up_to: int | None = None) -> set[str]:
    """Return those of the ids whose events are in the history, erased or not, with a `seq` of at most `up_to`."""
    query = select(EVENTS.c.id).where(_listed(connection, [*dict.fromkeys([*ids, *map(erased_id, ids)])]))
    if up_to is not None:
        query = query.where(EVENTS.c.seq <= up_to)
    found = set(connection.execute(query).scalars())
    return {each for each in ids if each in found or erased_id(each) in found}


def entries_of(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return when the streams got those of the ids whose events are in the history, in Unix ms of Redis."""
    query = select(EVENTS.c.id, EVENTS.c.entry_ms).where(_listed(connection, ids))
    return {row.id: row.entry_ms for row in connection.execute(query)}


def _listed(connection: Connection, ids: Sequence[str]) -> ColumnElement[bool]:
    # one parameter for all: a thousand of them take longer to write into the statement than to look up
    if connection.dialect.name == "sqlite":
        return EVENTS.c.id.in_(select(func.json_each(json.dumps(ids)).table_valued("value").c.value))
    return EVENTS.c.id == any_(literal(ids, ARRAY(Text)))


def of_app(
    connection: Connection, app: str, times: tuple[int, int], after: tuple[int, int], seqs: tuple[int, int]
) -> list[ArchivedEntry]:
    """Return the next page of an app's events, by time and then `seq`.

    `times` are the first Unix millisecond and the first that is not wanted any more; `after` is time and `seq` of the
    last event of the page before; `seqs` are the largest `seq` that is not wanted yet and the largest that is.
    """
    time, seq = after
    beyond = or_(EVENTS.c.time > time, and_(EVENTS.c.time == time, EVENTS.c.seq > seq))
    wanted = (EVENTS.c.app == app, EVENTS.c.time >= time, EVENTS.c.time < times[1], beyond)
    query = select(*ENTRY_COLUMNS).where(*wanted, EVENTS.c.seq > seqs[0], EVENTS.c.seq <= seqs[1])
    return archived_entries(connection, query.order_by(EVENTS.c.time, EVENTS.c.seq))


def by_ids(connection: Connection, app: str, ids: Sequence[str]) -> list[ArchivedEntry]:
    """Return those of an app's events that have these ids, a few."""
    return archived_entries(connection, select(*ENTRY_COLUMNS).where(EVENTS.c.id.in_(ids), EVENTS.c.app == app))


def of_request(connection: Connection, app: str, request_id: str, since: int) -> list[ArchivedEntry]:
    """Return the events of one request of an app, those named after it included; none is older than `since` (ms)."""
    named = or_(EVENTS.c.id == request_id, EVENTS.c.id.startswith(f"{request_id}-", autoescape=True))
    query: Select[Any] = select(*ENTRY_COLUMNS).where(EVENTS.c.app == app, EVENTS.c.time >= since, named)
    return [_entry(row) for row in connection.execute(query.order_by(EVENTS.c.time, EVENTS.c.seq))]


def of_tag(connection: Connection, tag: int, after: int, up_to: int, page: int = PAGE) -> list[ArchivedEntry]:
    """Return the next page of a hash tag's events with a `seq` above `after` and of at most `up_to`, by `seq`."""
    wanted = (EVENTS.c.tag == tag, EVENTS.c.seq > after, EVENTS.c.seq <= up_to)
    return archived_entries(connection, select(*ENTRY_COLUMNS).where(*wanted).order_by(EVENTS.c.seq), page)


def next_app(connection: Connection, after: str | None = None) -> str | None:
    """Return the app of the history's events that follows this one by name, or the first; None: there is no other."""
    query = select(func.min(EVENTS.c.app))
    return connection.execute(query if after is None else query.where(EVENTS.c.app > after)).scalar()


def last_seq(connection: Connection) -> int:
    """Return the largest `seq` up to which all events are in the history; 0 if nothing was ever archived."""
    return int(connection.execute(select(func.max(CURSORS.c.seq))).scalar() or 0)


def totals(connection: Connection, app: str, first: date, last: date) -> list[tuple[Total, int]]:
    """Return an app's running totals of archived events over these days, both included."""
    wanted = (TOTALS.c.app == app, TOTALS.c.day >= first, TOTALS.c.day <= last)
    return [_total(row) for row in connection.execute(select(TOTALS).where(*wanted).order_by(TOTALS.c.day))]


def closed_day(connection: Connection, tag: int) -> date | None:
    """Return the last day of a hash tag whose running totals stand in the history alone."""
    return connection.execute(select(CURSORS.c.closed).where(CURSORS.c.tag == tag)).scalar()


def apps(connection: Connection) -> list[str]:
    """Return every app that has running totals."""
    return list(connection.execute(select(TOTALS.c.app).distinct().order_by(TOTALS.c.app)).scalars())


def wallet_apps(connection: Connection) -> list[str]:
    """Return every app whose wallets archived events have changed."""
    return list(connection.execute(select(WALLETS.c.app).distinct().order_by(WALLETS.c.app)).scalars())


def wallets_before(connection: Connection, app: str, day: date) -> dict[str, Movement]:
    """Return what archived events changed in the wallets of an app before a day, by user; empty is the app's own."""
    found: dict[str, Movement] = {}
    for row in connection.execute(select(WALLETS).where(WALLETS.c.app == app, WALLETS.c.day < day)):
        sum_of = found.setdefault(row.user_id, Movement())
        sum_of.granted += row.granted
        sum_of.debited += row.debited
        sum_of.spent += row.spent
    return found


def wallet_days(connection: Connection, app: str, last: date) -> list[tuple[str, date, Movement]]:
    """Return what archived events changed in the wallets of an app on each day up to `last`, as `wallets_before`."""
    rows = connection.execute(select(WALLETS).where(WALLETS.c.app == app, WALLETS.c.day <= last))
    return [(row.user_id, row.day, Movement(row.granted, row.debited, row.spent)) for row in rows]


def has_user(connection: Connection, app: str, user: str) -> bool:
    """Return True if the history has totals or credits of a user."""
    for table in (TOTALS, WALLETS):
        query = select(table.c.app).where(table.c.app == app, table.c.user_id == user).limit(1)
        if connection.execute(query).first() is not None:
            return True
    return False


def redis_days(connection: Connection, tag: int, last: date) -> list[tuple[str, date]]:
    """Return the apps and days, up to `last`, whose running totals may still stand in Redis."""
    wanted = (REDIS_DAYS.c.tag == tag, REDIS_DAYS.c.day <= last)
    query = select(REDIS_DAYS.c.app, REDIS_DAYS.c.day).where(*wanted).order_by(REDIS_DAYS.c.day, REDIS_DAYS.c.app)
    return [(row.app, row.day) for row in connection.execute(query)]


def seq_at(connection: Connection, tag: int, entry: Entry, after: int = 0) -> int:
    """Return the largest `seq` so that no event of the tag from `after` up to it has a later entry than `entry`."""
    later = or_(EVENTS.c.entry_ms > entry.ms, and_(EVENTS.c.entry_ms == entry.ms, EVENTS.c.entry_seq > entry.seq))
    of_tag_after = (EVENTS.c.tag == tag, EVENTS.c.seq > after)
    first = select(EVENTS.c.seq).where(*of_tag_after, later).order_by(EVENTS.c.seq).limit(1)
    if (found := connection.execute(first).scalar()) is not None:
        return int(found) - 1
    last = select(func.max(EVENTS.c.seq)).where(*of_tag_after)
    return int(connection.execute(last).scalar() or after)


def count(connection: Connection) -> int:
    """Return the number of events."""
    return int(connection.execute(select(func.count()).select_from(EVENTS)).scalar_one())


def archived_entries(connection: Connection, query: Select[Any], page: int = PAGE) -> list[ArchivedEntry]:
    """Return the first of what a query of `ENTRY_COLUMNS` selects."""
    return [_entry(row) for row in connection.execute(query.limit(page))]


def _entry(row: Row[Any]) -> ArchivedEntry:
    if row.fields is not None:
        fields = unpacked(row.fields)
    else:
        fields = {b"event": row.event.encode(), b"amount": str(row.amount).encode()}
        if row.wallet:
            fields[b"wallet"] = row.wallet.encode()
        if row.gross is not None:
            fields[b"gross"] = str(row.gross).encode()
    return ArchivedEntry(row.seq, Entry(row.entry_ms, row.entry_seq), row.time, fields)


def _cursor(row: Row[Any]) -> Cursor:
    return Cursor(
        tag=row.tag,
        token=row.token,
        server=row.server,
        entry=Entry(row.entry_ms, row.entry_seq),
        seq=row.seq,
        trimmed=Entry(row.trimmed_ms, row.trimmed_seq),
        closed=row.closed,
        pruned=row.pruned_ms,
    )


def _total(row: Row[Any]) -> tuple[Total, int]:
    return Total(row.app, row.day, row.user_id, row.key_id, row.workload, row.model, row.what), row.number
