"""The outbox in the history: one row for each notification and endpoint, in the order in which they are sent.

Each function is one transaction on the connection that it is handed. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, func, select, update

from proxy.history.tables import OUTBOX, OUTBOX_CURSORS
from proxy.history.writes import insert_into
from proxy.webhooks.notifications.attempts import Delivery, DeliveryState
from proxy.webhooks.notifications.notification import LASTING, Notification

_COLUMNS = [OUTBOX.c[name] for name in Delivery.__dataclass_fields__]


def enqueue(
    connection: Connection,
    found: Iterable[tuple[str, Notification]],
    now: int,
    cursors: Mapping[int, int] | None = None,
) -> int:
    """Add notifications for endpoints, each once, and set the cursors behind what they were found in.

    Return how many are new.
    """
    rows = [
        {
            "endpoint": endpoint,
            "id": each.id,
            "owner": each.owner,
            "kind": each.kind,
            "time": now,
            "body": each.body(now),
            "lasting": each.kind in LASTING,
            "state": DeliveryState.PENDING,
            "attempts": 0,
            "since": now,
            "due": now,
            "status": 0,
            "error": "",
        }
        for endpoint, each in found
    ]
    insert = insert_into(connection, OUTBOX).on_conflict_do_nothing(index_elements=["endpoint", "id"])
    added = sum(len(connection.execute(insert.values(row).returning(OUTBOX.c.seq)).all()) for row in rows)
    for tag, seq in (cursors or {}).items():
        cursor = insert_into(connection, OUTBOX_CURSORS).values(tag=tag, seq=seq)
        connection.execute(cursor.on_conflict_do_update(index_elements=["tag"], set_={"seq": seq}))
    return added


def known(connection: Connection, ids: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those pairs of endpoint and id that are in the outbox."""
    found: set[tuple[str, str]] = set()
    for start in range(0, len(ids), 500):
        batch = ids[start : start + 500]
        query = select(OUTBOX.c.endpoint, OUTBOX.c.id).where(OUTBOX.c.id.in_({each for _, each in batch}))
        found |= {(row.endpoint, row.id) for row in connection.execute(query)}
    return found


def look_cursors(connection: Connection) -> dict[int, int]:
    """Return the cursors by hash tag."""
    return {row.tag: row.seq for row in connection.execute(select(OUTBOX_CURSORS))}


def heads(connection: Connection, now: int) -> list[Delivery]:
    """Return the first pending row of each endpoint, if it is due."""
    first = select(func.min(OUTBOX.c.seq)).where(OUTBOX.c.state == DeliveryState.PENDING).group_by(OUTBOX.c.endpoint)
    query = select(*_COLUMNS).where(OUTBOX.c.seq.in_(first), OUTBOX.c.due <= now).order_by(OUTBOX.c.seq)
    return [_delivery(row) for row in connection.execute(query)]


def head(connection: Connection, endpoint: str) -> Delivery | None:
    """Return the first pending row of an endpoint, due or not."""
    query = select(*_COLUMNS).where(OUTBOX.c.state == DeliveryState.PENDING, OUTBOX.c.endpoint == endpoint)
    row = connection.execute(query.order_by(OUTBOX.c.seq).limit(1)).one_or_none()
    return None if row is None else _delivery(row)


def settle(connection: Connection, delivery: Delivery) -> None:
    """Write what an attempt has come to, unless the row was changed by hand meanwhile."""
    row = (OUTBOX.c.seq == delivery.seq) & (OUTBOX.c.state == DeliveryState.PENDING)
    names = ("state", "attempts", "due", "tried", "status", "error")
    connection.execute(update(OUTBOX).where(row).values({name: getattr(delivery, name) for name in names}))


def page(connection: Connection, endpoint: str, before: int | None, limit: int) -> list[Delivery]:
    """Return at most `limit` rows of an endpoint, the latest first, before that `seq`."""
    query = select(*_COLUMNS).where(OUTBOX.c.endpoint == endpoint)
    if before is not None:
        query = query.where(OUTBOX.c.seq < before)
    return [_delivery(row) for row in connection.execute(query.order_by(OUTBOX.c.seq.desc()).limit(limit))]


def replay(connection: Connection, endpoint: str, id_: str, now: int) -> Delivery | None:
    """Send a webhook again, under its id, with a new day of attempts; None: it is not there, or not kept any more."""
    row = (OUTBOX.c.endpoint == endpoint) & (OUTBOX.c.id == id_) & (OUTBOX.c.body != "")
    values = {"state": DeliveryState.PENDING, "attempts": 0, "since": now, "due": now, "error": ""}
    connection.execute(update(OUTBOX).where(row).values(values))
    found = connection.execute(select(*_COLUMNS).where(row)).one_or_none()
    return None if found is None else _delivery(found)


def forget(connection: Connection, endpoint: str) -> None:
    """Remove all rows of an endpoint."""
    connection.execute(delete(OUTBOX).where(OUTBOX.c.endpoint == endpoint))


def prune(connection: Connection, before: int) -> int:
    """Remove rows that were found before that time and are not pending; of lasting ones the body. Return how many.

    What has waited that long itself has failed: its endpoint stays paused, and would have more and more of it.
    """
    waited = (OUTBOX.c.since < before) & (OUTBOX.c.state == DeliveryState.PENDING)
    connection.execute(update(OUTBOX).where(waited).values(state=DeliveryState.FAILED))
    old = (OUTBOX.c.time < before) & (OUTBOX.c.state != DeliveryState.PENDING) & (OUTBOX.c.body != "")
    emptied = connection.execute(update(OUTBOX).where(old, OUTBOX.c.lasting).values(body="", error="")).rowcount
    return emptied + connection.execute(delete(OUTBOX).where(old, ~OUTBOX.c.lasting)).rowcount


def _delivery(row: object) -> Delivery:
    found = {name: getattr(row, name) for name in Delivery.__dataclass_fields__}
    return Delivery(**found | {"state": DeliveryState(found["state"])})
