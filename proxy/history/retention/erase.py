"""Takes what identifies somebody out of the history. Amounts, units and ids of records stay, and so do all totals."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from middlewares.ledger.credit.erased import erased_id, erased_reference
from middlewares.ledger.settlement.event import DECODER, ENCODER
from proxy.history.batch import UNREADABLE
from proxy.history.packing import Fields, packed, unpacked
from proxy.history.tables import AUDIT, EVENTS, OUTBOX

BATCH = 1_000
"""Most rows that one transaction looks at."""

_KEPT = (b"event", b"amount", b"gross", b"wallet")


def erased_event(text: str) -> str:
    """Return the JSON of an event without client text and without members that this version does not know."""
    event = DECODER.decode(text)
    if event.type == "credit":
        event.id = erased_id(event.id)
        event.reference = erased_reference(event.app, event.reference) if event.reference else ""
        event.note = ""
    return ENCODER.encode(event).decode()


def has_text(fields: Fields) -> bool:
    """Return True if an entry of a stream holds text that an erasure takes away: a reference or a remark."""
    try:
        event = DECODER.decode(fields.get(b"event", b""))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return event.type == "credit" and (bool(event.note) or event.id != erased_id(event.id))


def erase_events(connection: Connection, app: str, user: str | None, after: int) -> tuple[int | None, int]:
    """Erase the next rows of a subject behind the `seq` `after`; return the last one, None at the end, and how many."""
    conditions = [
        EVENTS.c.app == app,
        EVENTS.c.seq > after,
        or_(EVENTS.c.type == "credit", EVENTS.c.fields.is_not(None)),
    ]
    if user is not None:
        conditions.append(EVENTS.c.user_id == user)
    columns = (EVENTS.c.seq, EVENTS.c.id, EVENTS.c.type, EVENTS.c.event, EVENTS.c.fields)
    rows = connection.execute(select(*columns).where(*conditions).order_by(EVENTS.c.seq).limit(BATCH)).all()
    changed = 0
    for row in rows:
        values = _erased(row)
        if values != {"id": row.id, "event": row.event, "fields": row.fields}:
            connection.execute(update(EVENTS).where(EVENTS.c.seq == row.seq).values(**values))
            changed += 1
    return (rows[-1].seq if len(rows) == BATCH else None), changed


def erase_audit(
    connection: Connection, app: str, ids: Collection[str] | None, names: Collection[str], after: int
) -> tuple[int | None, int]:
    """Erase the private part of the next audit lines of a subject behind the `seq` `after`; return as `erase_events`.

    `ids` are those of a user and of its keys, None: all lines of the app; `names` are texts that identify the user.
    """
    query = select(AUDIT.c.seq, AUDIT.c.actor, AUDIT.c.key_id, AUDIT.c.target, AUDIT.c.private)
    rows = connection.execute(
        query.where(AUDIT.c.app == app, AUDIT.c.seq > after, AUDIT.c.private.is_not(None))
        .order_by(AUDIT.c.seq)
        .limit(BATCH)
    ).all()
    gone = [row.seq for row in rows if ids is None or _concerns(row, ids, names)]
    if gone:
        connection.execute(update(AUDIT).where(_among(gone)).values(private=None, salt=None))
    return (rows[-1].seq if len(rows) == BATCH else None), len(gone)


def erase_webhooks(connection: Connection, app: str) -> None:
    """Remove what was sent to an app, or waits for it."""
    connection.execute(delete(OUTBOX).where(OUTBOX.c.owner == app))


def _among(seqs: list[int]) -> ColumnElement[bool]:
    return AUDIT.c.seq.in_(seqs)


def _concerns(row: Any, ids: Collection[str], names: Collection[str]) -> bool:
    if not {row.actor, row.key_id, row.target}.isdisjoint(ids):
        return True
    texts = set(msgspec.json.decode(row.private, type=dict[str, str]).values())
    return not texts.isdisjoint({*ids, *names})


def _erased(row: Any) -> dict[str, Any]:
    if row.type == UNREADABLE:
        return {"id": row.id, "event": "", "fields": packed({})}
    text = erased_event(row.event)
    fields = None
    if row.fields is not None:  # something that the columns do not hold: only what the ledger writes is kept of it
        kept = {name: value for name, value in unpacked(row.fields).items() if name in _KEPT}
        fields = packed({**kept, b"event": text.encode()})
    return {"id": erased_id(row.id), "event": text, "fields": fields}
