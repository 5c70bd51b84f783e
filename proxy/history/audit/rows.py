"""Audit lines as rows of the history: added under the lock of the chain's head, read back, and searched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from proxy.control.audit.line import AuditLine
from proxy.history.audit.chain import ChainedLine, Head, link
from proxy.history.tables import AUDIT, AUDIT_HEAD


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a line in the order in which they are listed: time, order in its millisecond, id."""

    time: int
    entry_seq: int
    id: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which lines are wanted; None and empty: all."""

    app: str | None = None
    actor: str | None = None
    action: str | None = None
    """An action such as `key.revoke`, or all of a kind: `key`."""
    target: str | None = None
    since_ms: int = 0
    """First Unix millisecond."""
    until_ms: int | None = None
    """First Unix millisecond that is not wanted any more."""

    def matches(self, time: int, line: AuditLine) -> bool:
        """Return True for a wanted line; the same as `conditions`."""
        return (
            self.app in (None, line.app)
            and self.actor in (None, line.actor)
            and self.target in (None, line.target)
            and (self.action is None or line.action == self.action or line.action.startswith(f"{self.action}."))
            and time >= self.since_ms
            and (self.until_ms is None or time < self.until_ms)
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of a query."""
        found = [AUDIT.c.time >= self.since_ms]
        for column, wanted in ((AUDIT.c.app, self.app), (AUDIT.c.actor, self.actor), (AUDIT.c.target, self.target)):
            if wanted is not None:
                found.append(column == wanted)
        if self.action is not None:
            kind = AUDIT.c.action.startswith(f"{self.action}.", autoescape=True)
            found.append(or_(AUDIT.c.action == self.action, kind))
        if self.until_ms is not None:
            found.append(AUDIT.c.time < self.until_ms)
        return found


def append(connection: Connection, lines: Sequence[tuple[int, int, AuditLine]]) -> tuple[Head, int]:
    """Add those of the lines, with time and order of each, that are not there yet; return the head and how many.

    The head's row is locked until the transaction ends, so that two archivers cannot add at the same place.
    """
    before = head(connection, lock=True)
    query = select(AUDIT.c.id).where(AUDIT.c.id.in_([line.id for _, _, line in lines]))
    known = set(connection.execute(query).scalars())
    rows: list[dict[str, Any]] = []
    last = before
    for time, entry_seq, line in lines:
        if line.id not in known:
            known.add(line.id)
            chained = link(last, time, entry_seq, line)
            last = Head(chained.seq, chained.hash)
            rows.append(_values(chained))
    if rows:
        connection.execute(AUDIT.insert(), rows)
        connection.execute(update(AUDIT_HEAD).values(seq=last.seq, hash=last.hash))
    return last, len(rows)


def head(connection: Connection, *, lock: bool = False) -> Head:
    """Return the last line of the chain; `lock`: until the transaction ends."""
    query = select(AUDIT_HEAD.c.seq, AUDIT_HEAD.c.hash)
    row = connection.execute(query.with_for_update() if lock else query).one()
    return Head(row.seq, row.hash)


def newest(connection: Connection, wanted: AuditFilter, before: Place | None, limit: int) -> list[ChainedLine]:
    """Return the newest wanted lines that stand before a place, newest first."""
    conditions = wanted.conditions()
    if before is not None:
        conditions.append(_stands_before(before))
    order = (AUDIT.c.time.desc(), AUDIT.c.entry_seq.desc(), AUDIT.c.id.desc())
    query = select(AUDIT).where(*conditions).order_by(*order).limit(limit)
    return [chained_line(row) for row in connection.execute(query)]


def chained_line(row: Row[Any]) -> ChainedLine:
    """Return the line that a row holds."""
    line = AuditLine(
        id=row.id,
        actor_kind=row.actor_kind,
        actor=row.actor,
        key=row.key_id,
        action=row.action,
        target_kind=row.target_kind,
        target=row.target,
        app=row.app,
        result=row.result,
        code=row.code,
        numbers=json.loads(row.numbers),
        private=row.private or "",
        salt=row.salt or "",
    )
    return ChainedLine(row.seq, row.time, row.entry_seq, line, row.digest, row.hash)


def _stands_before(place: Place) -> ColumnElement[bool]:
    same_time = AUDIT.c.time == place.time
    same_entry = and_(same_time, AUDIT.c.entry_seq == place.entry_seq)
    return and_(
        AUDIT.c.time <= place.time,
        or_(
            AUDIT.c.time < place.time,
            and_(same_time, AUDIT.c.entry_seq < place.entry_seq),
            and_(same_entry, AUDIT.c.id < place.id),
        ),
    )


def _values(chained: ChainedLine) -> dict[str, Any]:
    line = chained.line
    return {
        "seq": chained.seq,
        "id": line.id,
        "time": chained.time,
        "entry_seq": chained.entry_seq,
        "app": line.app,
        "actor_kind": line.actor_kind,
        "actor": line.actor,
        "key_id": line.key,
        "action": line.action,
        "target_kind": line.target_kind,
        "target": line.target,
        "result": line.result,
        "code": line.code,
        "numbers": json.dumps(line.numbers),
        "private": line.private,
        "salt": line.salt,
        "digest": chained.digest,
        "hash": chained.hash,
    }
