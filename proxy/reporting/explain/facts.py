"""Everything that is known of one request: its refusal, its events, its hold, and the plan versions that priced it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from pydantic import ValidationError
from sqlalchemy import Connection
from ulid import ULID

from config.plans import Plan
from middlewares.ledger.model import Hold
from middlewares.ledger.periods import DAY_MS
from middlewares.ledger.resolution.resolve import parse
from middlewares.response.refusals.record import RefusalRecord
from proxy.history import queries
from proxy.history.explain.refusals import read_refusal, waiting_refusals
from proxy.history.explain.rows import app_of_event, find_refusal, plan_text
from proxy.history.reader import LedgerEntries, LedgerSources
from proxy.reporting.event_pages import find_events
from proxy.reporting.limits import shown_holds
from proxy.reporting.stream import RecordedEvent, decode

_OF_REQUEST = re.compile(r"([0-7][0-9A-HJKMNP-TV-Z]{25})(?:-[a-z0-9-]{1,40})?")
_HOLD = msgspec.json.Decoder(Hold)
_PRICING = ("billing", "prices", "allowances")
"""Members of a plan by which its prices are computed; others may have changed their form since it was written."""


@dataclass(frozen=True, slots=True)
class OpenHold:
    """The hold of a request that still runs, or whose settlement is not written yet."""

    hold: Hold
    expires_ms: int
    """Redis time, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is known of one request, stream, or change of credits of an app."""

    id: str
    """The requested id."""
    request_id: str
    """Id of the request or stream, where that is the id of one of its events."""
    app: str
    refusal: RefusalRecord | None
    unrecorded: int
    """Refusals of the app by the same rule that were counted only, in the last days."""
    events: Sequence[RecordedEvent]
    """Its events by part: of a stream its ticks, then adjustments."""
    open_hold: OpenHold | None
    resolution: tuple[str, int] | None
    """The decision about its event, and what that added to the charge in atomic units."""
    plans: Mapping[str, Plan | None]
    """The plan versions that its events and its refusal name, `<name>@<version>`; None: not known any more."""


def request_of(event_id: str) -> str:
    """Return the id of the request or stream that an event is of; of a change of credits its own id."""
    found = _OF_REQUEST.fullmatch(event_id)
    return found[1] if found else event_id


async def read_facts(
    sources: LedgerSources, plans_in_force: Mapping[str, Plan], app: str, wanted: str
) -> RequestFacts | None:
    """Return what is known of an app's request by its id or that of one of its events; None: nothing.

    Raises `UnreadableEvent` and what `LedgerEntries` does.
    """
    request_id = request_of(wanted)
    open_hold = await _open_hold(sources, app, request_id)
    refusal = await read_refusal(sources, app, request_id)
    events = sorted(await _events(sources, app, request_id), key=_order)
    if open_hold is None and refusal is None and not events:
        return None
    client: Any = sources.client
    unrecorded = await client.hget(sources.keys.unrecorded(app), refusal.rule) if refusal else None
    decided = await client.hget(sources.keys.resolutions(app), events[0].event.id) if events else None
    named = {each.event.plan for each in events} | ({refusal.plan} if refusal else set())
    return RequestFacts(
        id=wanted,
        request_id=request_id,
        app=app,
        refusal=refusal,
        unrecorded=int(unrecorded or 0),
        events=events,
        open_hold=open_hold,
        resolution=parse(decided) if decided else None,
        plans={each: await _plan(sources, plans_in_force, each) for each in sorted(named) if each},
    )


async def find_app(sources: LedgerSources, wanted: str) -> str | None:
    """Return the app that a request or event is of; None: nothing is known of it."""
    request_id, client = request_of(wanted), sources.client
    reader: Any = client
    for tag in sources.keys.tags:
        shared = sources.keys.shared(tag)
        if running := await _running_app(sources, tag, request_id):
            return running
        for app in await reader.smembers(shared.refused):
            if await waiting_refusals(sources, app.decode(), request_id):
                return str(app.decode())
    if refusal := await sources.history.read(find_refusal, request_id):
        return refusal.app
    ids = [wanted, request_id, f"{request_id}-1"]
    for tag in sources.keys.tags:
        entries = LedgerEntries(sources, tag)
        if archived := await entries.begin(partial(_app_of, ids=ids)):  # one that moves is in either of the two
            return archived
        async for entry, fields in entries.streamed():
            if request_id.encode() in fields.get(b"event", b""):
                recorded = decode(entries.stream, entry, fields)
                if request_of(recorded.event.id) == request_id:
                    return recorded.event.app
    return None


async def _running_app(sources: LedgerSources, tag: str, request_id: str) -> str | None:
    reader: Any = sources.client
    if body := await reader.hget(sources.keys.shared(tag).bodies, request_id):
        return _HOLD.decode(body).app
    return next((hold.app for hold, _ in await shown_holds(sources, tag) if hold.request_id == request_id), None)


def _app_of(connection: Connection, *, ids: Sequence[str]) -> str | None:
    return next((app for each in ids if (app := app_of_event(connection, each))), None)


async def _open_hold(sources: LedgerSources, app: str, request_id: str) -> OpenHold | None:
    tag = sources.keys.tag(app)
    client, shared = sources.client, sources.keys.shared(tag)
    reader: Any = client
    body, expires = await reader.hget(shared.bodies, request_id), await reader.zscore(shared.holds, request_id)
    if body is not None and expires is not None:
        found = OpenHold(_HOLD.decode(body), int(expires))
        return found if found.hold.app == app else None
    shown = (OpenHold(*each) for each in await shown_holds(sources, tag))
    return next((each for each in shown if (each.hold.app, each.hold.request_id) == (app, request_id)), None)


async def _events(sources: LedgerSources, app: str, request_id: str) -> Iterable[RecordedEvent]:
    if not _OF_REQUEST.fullmatch(request_id):
        return (await find_events(sources, app, {request_id})).values()
    since = ULID.from_str(request_id).milliseconds - DAY_MS  # its clock is not the one that dates events
    entries, found = LedgerEntries.of_app(sources, app), dict[str, RecordedEvent]()
    for each in await entries.begin(partial(queries.of_request, app=app, request_id=request_id, since=since)):
        recorded = decode(entries.stream, str(each.entry).encode(), each.fields)
        found[recorded.event.id] = recorded
    async for entry, fields in entries.streamed():
        if request_id.encode() in fields.get(b"event", b""):
            recorded = decode(entries.stream, entry, fields)
            if request_of(recorded.event.id) == request_id:
                found.setdefault(recorded.event.id, recorded)
    return found.values()


def _order(recorded: RecordedEvent) -> tuple[int, bool, int]:
    event = recorded.event
    return event.part, event.type == "adjustment", event.time


async def _plan(sources: LedgerSources, in_force: Mapping[str, Plan], plan_id: str) -> Plan | None:
    name, _, version = plan_id.rpartition("@")
    plan = in_force.get(name)
    if plan is not None and plan.version == version:
        return plan
    text = await sources.history.read(plan_text, plan_id)
    if text is None:
        return None
    members = msgspec.json.decode(text, type=dict[str, Any])
    try:
        return Plan.model_validate({name: members[name] for name in _PRICING if name in members})
    except ValidationError:  # written by a version whose prices this one does not know
        return None
