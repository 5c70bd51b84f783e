"""What the archiver writes. Each function is one transaction on the connection that it is handed.

A cursor's row carries a fencing token. A transaction that does not find its own token there is of an archiver that was
replaced, and raises `Superseded`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from proxy.history.batch import START, Entry, Movement, ReadEntry, Sums, read, row_of
from proxy.history.bulk import insert_events
from proxy.history.packing import Fields
from proxy.history.queries import Cursor, cursor, known_ids
from proxy.history.tables import CURSORS, EVENTS, REDIS_DAYS, TOTALS, WALLETS
from proxy.history.totals.total import Total

_TOTAL_KEY = ("app", "day", "user_id", "key_id", "workload", "model", "what")
_SUMS = ("granted", "debited", "spent")


class Superseded(Exception):
    """Another archiver has taken over the hash tag."""


@dataclass(frozen=True, slots=True)
class Archived:
    """Outcome of a batch."""

    cursor: Cursor
    added: int
    repeated: int
    """Entries whose events were in the history before."""
    unreadable: tuple[str, ...]
    """Ids of entries that are no usage events; their fields are kept."""
    network_units: Mapping[str, int]
    """What gateways pay by for the events that were added, by workload."""


def take_over(connection: Connection, tag: int) -> Cursor:
    """Become the archiver of a hash tag: the tokens of all earlier ones are void from now on."""
    found = cursor(connection, tag, lock=True)
    if found is None:
        row = dict.fromkeys(("entry_ms", "entry_seq", "seq", "trimmed_ms", "trimmed_seq"), 0)
        connection.execute(insert_into(connection, CURSORS).values(tag=tag, token=1, server="", **row))
    else:
        connection.execute(update(CURSORS).where(CURSORS.c.tag == tag).values(token=CURSORS.c.token + 1))
    return _existing(connection, tag)


def archive(connection: Connection, tag: int, token: int, server: str, raw: Sequence[tuple[bytes, Fields]]) -> Archived:
    """Add the events of these entries that are not there yet, and move the cursor to the last of them."""
    before = _locked(connection, tag, token)
    entries = read(tag, raw)
    fresh: dict[str, ReadEntry] = {}
    for each in entries:
        fresh.setdefault(each.id, each)
    for known in known_ids(connection, list(fresh)):
        del fresh[known]
    # a Redis that is older than the last pruning, as after a restore, has events of which even the id is gone
    fresh = {name: each for name, each in fresh.items() if not each.pruned(before.pruned)}
    if fresh:
        _add(connection, tag, list(fresh.values()))
    last = entries[-1].entry
    newest = connection.execute(select(func.max(EVENTS.c.seq)).where(EVENTS.c.tag == tag)).scalar() or 0
    changed = {"server": server, "entry_ms": last.ms, "entry_seq": last.seq, "seq": max(before.seq, newest)}
    connection.execute(update(CURSORS).where(CURSORS.c.tag == tag).values(**changed))
    moved = _existing(connection, tag)
    unreadable = tuple(str(each.entry) for each in fresh.values() if each.event is None)
    network_units: Counter[str] = Counter()
    for each in fresh.values():
        if each.event is not None and each.event.network_units:
            network_units[each.event.workload or ""] += each.event.network_units
    return Archived(moved, len(fresh), len(entries) - len(fresh), unreadable, network_units)


def rewind(connection: Connection, tag: int, token: int, server: str) -> Cursor:
    """Begin the stream anew, as it is one of another server; what was archived before is recognised by its ids."""
    _locked(connection, tag, token)
    begun = {"server": server, "entry_ms": START.ms, "entry_seq": START.seq, "trimmed_ms": 0, "trimmed_seq": 0}
    connection.execute(update(CURSORS).where(CURSORS.c.tag == tag).values(**begun))
    return _existing(connection, tag)


def announce_trim(connection: Connection, tag: int, token: int, entry: Entry) -> Cursor:
    """Record that entries up to this one are about to be trimmed, so that readers look for them here from now on."""
    found = _locked(connection, tag, token)
    if entry > found.trimmed:
        moved = {"trimmed_ms": entry.ms, "trimmed_seq": entry.seq}
        connection.execute(update(CURSORS).where(CURSORS.c.tag == tag).values(**moved))
        return found.replace(trimmed=entry)
    return found


def close_days(connection: Connection, tag: int, token: int, day: date, surplus: dict[Total, int]) -> Cursor:
    """Let running totals up to this day stand in the history alone, with what no event accounts for."""
    found = _locked(connection, tag, token)
    add_totals(connection, surplus)
    if found.closed is None or day > found.closed:
        connection.execute(update(CURSORS).where(CURSORS.c.tag == tag).values(closed=day))
        return found.replace(closed=day)
    return found


def forget_redis_days(connection: Connection, tag: int, days: Iterable[tuple[str, date]]) -> None:
    """Record that Redis has no running totals of these apps and days any more."""
    for app, day in days:
        row = (REDIS_DAYS.c.tag == tag) & (REDIS_DAYS.c.app == app) & (REDIS_DAYS.c.day == day)
        connection.execute(delete(REDIS_DAYS).where(row))


def _locked(connection: Connection, tag: int, token: int) -> Cursor:
    found = cursor(connection, tag, lock=True)
    if found is None or found.token != token:
        raise Superseded
    return found


def _existing(connection: Connection, tag: int) -> Cursor:
    if (found := cursor(connection, tag)) is None:
        raise Superseded
    return found


def _add(connection: Connection, tag: int, entries: Sequence[ReadEntry]) -> None:
    insert_events(connection, [row_of(tag, each) for each in entries])
    found = Sums()
    for each in entries:
        found.add(each)
    totals = found.totals
    days = {(total.app, total.day) for total in totals}
    if days:
        rows = [{"tag": tag, "app": app, "day": day} for app, day in days]
        connection.execute(insert_into(connection, REDIS_DAYS).on_conflict_do_nothing(), rows)
        add_totals(connection, totals)
    add_wallets(connection, found.wallets)


def add_totals(connection: Connection, totals: dict[Total, int]) -> None:
    """Add to running totals."""
    rows = [dict(zip((*_TOTAL_KEY, "number"), (*key, number), strict=True)) for key, number in totals.items()]
    if rows:
        connection.execute(_upsert(connection, TOTALS, ("number",)), rows)


def add_wallets(connection: Connection, wallets: dict[tuple[str, str, date], Movement]) -> None:
    """Add to the movements of wallets."""
    rows = [
        {"app": app, "user_id": user, "day": day, **{name: getattr(movement, name) for name in _SUMS}}
        for (app, user, day), movement in wallets.items()
    ]
    if rows:
        connection.execute(_upsert(connection, WALLETS, _SUMS), rows)


def _upsert(connection: Connection, table: Table, sums: Sequence[str]) -> Any:
    """Return the statement that adds a row, or adds to the sums of the one that is there."""
    insert = insert_into(connection, table)
    added = {
        name: func.exact_add(table.c[name], insert.excluded[name])
        if connection.dialect.name == "sqlite"
        else table.c[name] + insert.excluded[name]
        for name in sums
    }
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=added)


def insert_into(connection: Connection, table: Table) -> Any:
    """Return an insert of the database's dialect, which can say what to do where the row is there already."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
