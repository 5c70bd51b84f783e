"""Refusals and versions of plans as rows of the history. Each function takes the connection of a transaction first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, delete, select

from config.plans import Plan
from middlewares.json_codec import to_json
from middlewares.response.refusals.record import DECODER, RefusalRecord
from proxy.history.tables import EVENTS, PLANS, REFUSALS
from proxy.history.writes import insert_into


def decoded(texts: Iterable[bytes]) -> list[RefusalRecord]:
    """Return the records that these texts hold; one that this version cannot read is left out."""
    found = []
    for text in texts:
        try:
            found.append(DECODER.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found


def add_refusals(connection: Connection, records: Sequence[RefusalRecord], kept: int) -> None:
    """Add those of an app's refusals that are not there yet, and delete all but its newest `kept`."""
    if not records:
        return
    rows = [
        {"id": each.id, "time": each.time, "app": each.app, "user_id": each.user, "refusal": to_json(each).decode()}
        for each in records
    ]
    connection.execute(insert_into(connection, REFUSALS).on_conflict_do_nothing(), rows)
    of_app = REFUSALS.c.app == records[0].app
    first_gone = select(REFUSALS.c.time).where(of_app).order_by(REFUSALS.c.time.desc()).offset(kept).limit(1)
    connection.execute(delete(REFUSALS).where(of_app, REFUSALS.c.time <= first_gone.scalar_subquery()))


def delete_refusals(connection: Connection, before_ms: int) -> int:
    """Delete the refusals before this Unix millisecond; return how many."""
    return connection.execute(delete(REFUSALS).where(REFUSALS.c.time < before_ms)).rowcount


def erase_refusals(connection: Connection, app: str, user: str | None) -> int:
    """Delete the refusals of an app, or of one of its users; return how many."""
    rows = delete(REFUSALS).where(REFUSALS.c.app == app)
    return connection.execute(rows if user is None else rows.where(REFUSALS.c.user_id == user)).rowcount


def find_refusal(connection: Connection, request_id: str) -> RefusalRecord | None:
    """Return the refusal of a request, whoever's it is."""
    text = connection.execute(select(REFUSALS.c.refusal).where(REFUSALS.c.id == request_id)).scalar()
    return next(iter(decoded([text.encode()])), None) if text else None


def refusals_of(connection: Connection, app: str) -> list[RefusalRecord]:
    """Return the refusals of an app."""
    query = select(REFUSALS.c.refusal).where(REFUSALS.c.app == app)
    return decoded(text.encode() for text in connection.execute(query).scalars())


def app_of_event(connection: Connection, event_id: str) -> str | None:
    """Return the app of an event."""
    return connection.execute(select(EVENTS.c.app).where(EVENTS.c.id == event_id)).scalar()


def add_plans(connection: Connection, plans: Mapping[str, Plan]) -> None:
    """Add those of the plans, in their versions, that are not there yet."""
    rows = [{"name": name, "version": plan.version, "plan": plan.text} for name, plan in plans.items()]
    connection.execute(insert_into(connection, PLANS).on_conflict_do_nothing(), rows)


def plan_text(connection: Connection, plan_id: str) -> str | None:
    """Return the plan `<name>@<version>` as JSON; None if no version of that name and number was ever in force."""
    name, _, version = plan_id.rpartition("@")
    return connection.execute(select(PLANS.c.plan).where(PLANS.c.name == name, PLANS.c.version == version)).scalar()
