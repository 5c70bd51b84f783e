"""Export groups as the archiver sees them: what they still need of a stream, and which nobody reads any more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import ResponseError
from sqlalchemy import Connection, delete, func, select, update

from proxy.control.records import Client
from proxy.history.batch import Entry
from proxy.history.queries import seq_at
from proxy.history.tables import EVENTS, EXPORT_GROUPS
from proxy.history.writes import insert_into


@dataclass(frozen=True, slots=True)
class Group:
    """One consumer group of a stream."""

    name: str
    needs: Entry
    """The first entry that it has not acknowledged, or an id just before that."""
    idle_ms: int | None
    """Milliseconds since any of its readers did something; None: it has no reader."""


@dataclass(frozen=True, slots=True)
class GroupPosition:
    """How far a group has come, as the history knows it."""

    seq: int
    """Everything up to here was delivered."""
    entry: Entry
    """What it needed of the stream when it was last looked at."""
    changed_ms: int
    """When it was last seen to move, Redis time in Unix milliseconds."""
    until: int
    """Up to here it is delivered from the history."""


async def groups(client: Client, stream: str) -> list[Group]:
    """Return the consumer groups of a stream; none if it does not exist."""
    reader: Any = client
    found = []
    try:
        infos = await reader.xinfo_groups(stream)
    except ResponseError:
        return []
    for info in infos:
        name = info["name"].decode()
        last = Entry.parse(info["last-delivered-id"])
        needs = Entry(last.ms, last.seq + 1)
        if info["pending"]:
            summary = await reader.xpending(stream, name)
            if summary["min"] is not None:
                needs = min(needs, Entry.parse(summary["min"]))
        idle = [each["idle"] for each in await reader.xinfo_consumers(stream, name)] if info["consumers"] else []
        found.append(Group(name, needs, min(idle, default=None)))
    return found


def expired(group: Group, known: GroupPosition | None, now_ms: int, expiry_ms: int) -> bool:
    """Return True if a group has not moved, and no reader of it did anything, for `expiry_ms`."""
    if known is None or known.entry != group.needs or now_ms - known.changed_ms < expiry_ms:
        return False
    return group.idle_ms is None or group.idle_ms >= expiry_ms


def positions(connection: Connection, tag: int) -> dict[str, GroupPosition]:
    """Return the known positions of the groups of a hash tag, by name."""
    rows = connection.execute(select(EXPORT_GROUPS).where(EXPORT_GROUPS.c.tag == tag))
    return {
        row.name: GroupPosition(row.seq, Entry(row.entry_ms, row.entry_seq), row.changed_ms, row.until) for row in rows
    }


def record(connection: Connection, tag: int, found: list[Group], now_ms: int) -> dict[str, GroupPosition]:
    """Record how far the groups of a hash tag have come, and return all positions of the tag."""
    known = positions(connection, tag)
    for group in found:
        before = known.get(group.name)
        if before is not None and before.entry == group.needs:
            continue
        if before is not None and before.seq < before.until:
            known[group.name] = replace(before, entry=group.needs, changed_ms=now_ms)
        else:
            done = Entry(group.needs.ms, group.needs.seq - 1)
            seq = seq_at(connection, tag, done, after=before.seq if before else 0)
            known[group.name] = GroupPosition(seq, group.needs, now_ms, seq)
        place(connection, group.name, tag, known[group.name])
    return known


def begin(connection: Connection, name: str, tag: int, position: GroupPosition) -> None:
    """Record that a group begins in Redis: what the history has up to `until` it gets from there, if it has not yet."""
    before = positions(connection, tag).get(name)
    place(connection, name, tag, replace(position, seq=min(before.seq, position.until) if before else 0))


def advance(connection: Connection, name: str, tag: int, seq: int) -> None:
    """Record that a group has everything of the history up to `seq`."""
    row = (EXPORT_GROUPS.c.name == name) & (EXPORT_GROUPS.c.tag == tag)
    connection.execute(update(EXPORT_GROUPS).where(row, EXPORT_GROUPS.c.seq < seq).values(seq=seq))


def behind(connection: Connection, tag: int, seq: int, most: int) -> int:
    """Return how many events of a hash tag the history has after `seq`, counted up to `most`."""
    later = select(EVENTS.c.seq).where(EVENTS.c.tag == tag, EVENTS.c.seq > seq).limit(most)
    return int(connection.execute(select(func.count()).select_from(later.subquery())).scalar_one())


def forget(connection: Connection, name: str) -> int:
    """Delete what the history knows of a group; return of how many hash tags that was."""
    return connection.execute(delete(EXPORT_GROUPS).where(EXPORT_GROUPS.c.name == name)).rowcount


def place(connection: Connection, name: str, tag: int, position: GroupPosition) -> None:
    """Record the position of one group."""
    values = {
        "seq": position.seq,
        "until": position.until,
        "entry_ms": position.entry.ms,
        "entry_seq": position.entry.seq,
        "changed_ms": position.changed_ms,
    }
    keyed = insert_into(connection, EXPORT_GROUPS).values(name=name, tag=tag, **values)
    connection.execute(keyed.on_conflict_do_update(index_elements=["name", "tag"], set_=values))
