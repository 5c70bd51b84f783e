"""Operations on usage events, and decisions about those that a person should look at, on an open store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, cast

from config.plans import Plan
from middlewares.auth.records import RecordRef
from middlewares.exchange import Outcome
from middlewares.ledger.admission.key_limits import KeyTerms
from middlewares.ledger.resolution.resolve import (
    DecidedOtherwise,
    EventDecision,
    SettledMeanwhile,
    parse,
    resolve,
)
from middlewares.ledger.settlement.event import Event, plain
from proxy.api.admin.ledger_documents import (
    AttentionItem,
    AttentionPage,
    Decision,
    EventDocument,
    EventPage,
    Resolution,
    ResolutionRequest,
)
from proxy.api.admin.operations.acts import Acts
from proxy.api.admin.operations.errors import ActRefused, invalid
from proxy.api.admin.operations.ports import EventOperations
from proxy.api.admin.operations.query import EventQuery
from proxy.api.admin.operations.resources import Resources
from proxy.control.records import UnknownRecord
from proxy.history.packing import Fields
from proxy.history.pages import StalePlace
from proxy.history.places import BadPlace
from proxy.reporting.dates import BadDate, Days, parse_day
from proxy.reporting.event_pages import RecordedEvents, find_events, marked, read_page
from proxy.reporting.explain.compose import explanation
from proxy.reporting.explain.documents import Explanation
from proxy.reporting.explain.facts import find_app, read_facts
from proxy.reporting.stream import RecordedEvent, UnreadableEvent

_ADJUSTMENT = "-adjustment"


class DirectEvents(EventOperations):
    """Events of apps, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._resources = resources
        self._sources = resources.sources
        self._acts = acts

    async def page(self, client_id: str, query: EventQuery) -> EventPage:
        """Return events of an app."""
        found = await self._read(client_id, query, _of_outcome(query.outcome), lambda _: True)
        items = [_document(each) for each in found.events]
        return EventPage(items=items, unreadable=found.unreadable, next=found.place, more=found.more)

    async def get(self, client_id: str, event_id: str) -> EventDocument:
        """Return one event of an app."""
        await self._resources.apps.require(client_id)
        return _document((await self._find(client_id, event_id))[event_id])

    async def explain(self, request_id: str) -> Explanation:
        """Explain a request of any app, by its id or that of one of its events."""
        settings = self._resources.settings
        try:
            app = await find_app(self._sources, request_id)
            facts = await read_facts(self._sources, settings.all_plans(), app, request_id) if app else None
        except UnreadableEvent as error:
            raise ActRefused("unreadable_event", str(error)) from None
        if facts is None:
            raise UnknownRecord(RecordRef("request", request_id))
        return explanation(facts, settings.currency, for_operator=True)

    async def attention(self, client_id: str, query: EventQuery) -> AttentionPage:
        """Return events that need attention, with the decisions that were made about them."""
        of_outcome = _of_outcome(query.outcome)
        found = await self._read(client_id, query, lambda event: event.attention and of_outcome(event), marked)
        decisions = await self._decisions(client_id, [each.event.id for each in found.events])
        items = [
            AttentionItem(
                event=_document(each), reserved=each.event.reserved_amount or None, resolution=decisions[each.event.id]
            )
            for each in found.events
        ]
        return AttentionPage(items=items, next=found.place, more=found.more)

    async def resolve(self, client_id: str, event_id: str, request: ResolutionRequest) -> Resolution:
        """Decide about an event that needs attention, once and for good."""
        async with self._acts.act("attention.resolve", "event", event_id, client_id) as act:
            act.detail |= {"decision": request.decision, "note": request.note}
            await self._resources.apps.require(client_id)
            try:
                amount, repeated = await self._write(client_id, event_id, request)
            except DecidedOtherwise as error:
                raise ActRefused("already_resolved", str(error)) from None
            act.detail |= {"amount": amount, "repeated": repeated}
        return Resolution(event=event_id, decision=request.decision, amount=str(amount), repeated=repeated)

    async def _write(self, client_id: str, event_id: str, request: ResolutionRequest) -> tuple[int, bool]:
        """Write a decision, by what the event is charged at that moment."""
        store, keys = self._resources.store, self._resources.keys
        before = (await self._decisions(client_id, [event_id]))[event_id]
        if before is not None and before.decision == request.decision:
            return int(before.amount), True
        decided = await self._decided(client_id, event_id, request)
        plan, terms = self._plan(decided.event), await self._terms(decided.event)
        try:
            return await resolve(store, keys, plan, decided, terms=terms)
        except SettledMeanwhile:  # its adjustment is there to be read; there is none if it changed nothing
            decided = await self._decided(client_id, event_id, request, settled=True)
            return await resolve(store, keys, plan, decided, terms=terms)

    async def _decided(
        self, client_id: str, event_id: str, request: ResolutionRequest, *, settled: bool = False
    ) -> EventDecision:
        """Return what a decision means, by the event and the adjustment that it may have.

        `settled`: the late settlement of the request has come, with an adjustment or without.
        """
        found = await self._find(client_id, event_id)
        recorded, adjustment = found[event_id], found.get(event_id + _ADJUSTMENT)
        event = recorded.event
        if not event.attention:
            raise ActRefused("nothing_to_resolve", f"the event {event_id} needs no attention")
        charged = int(recorded.amount) + (int(adjustment.amount) if adjustment else 0)
        amount = {Decision.REFUND: -charged, Decision.ACCEPT: 0, Decision.CHARGE: 0}[request.decision]
        if request.decision is Decision.CHARGE:
            if not event.reserved_amount or settled or adjustment:
                reason = "nothing else was reserved for it"
                if settled or adjustment:
                    reason = "its true usage is known by now"
                raise ActRefused("nothing_to_charge", f"the event {event_id} is charged in full already: {reason}")
            amount = int(event.reserved_amount) - charged
        return EventDecision(
            event=event,
            wallet=recorded.wallet,
            decision=request.decision,
            amount=amount,
            adjusted=settled or adjustment is not None,
            note=request.note,
        )

    def _plan(self, event: Event) -> Plan | None:
        """Return the plan that priced an event, if that very version is in force."""
        name, _, version = event.plan.rpartition("@")
        plan = self._resources.settings.all_plans().get(name)
        return plan if plan is not None and plan.version == version else None

    async def _terms(self, event: Event) -> KeyTerms | None:
        """Return what the ledger has to know of the key of an event, as it is now."""
        key = await self._resources.api_keys.get(event.key) if event.key else None
        return key.terms if key else None

    async def _find(self, client_id: str, event_id: str) -> dict[str, RecordedEvent]:
        """Return an event with the adjustment that it may have, by id. Raises `UnknownRecord`."""
        try:
            found = await find_events(self._sources, client_id, {event_id, event_id + _ADJUSTMENT})
        except UnreadableEvent as error:
            raise ActRefused("unreadable_event", str(error)) from None
        if event_id not in found:
            raise UnknownRecord(RecordRef("event", event_id))
        return found

    async def _decisions(self, client_id: str, ids: Sequence[str]) -> dict[str, Resolution | None]:
        if not ids:
            return {}
        client: Any = self._resources.store.redis
        texts = await client.hmget(self._resources.keys.resolutions(client_id), ids)
        return {each: _resolution(each, cast("bytes | None", text)) for each, text in zip(ids, texts, strict=True)}

    async def _read(
        self, client_id: str, query: EventQuery, wanted: Callable[[Event], bool], candidate: Callable[[Fields], bool]
    ) -> RecordedEvents:
        await self._resources.apps.require(client_id)
        try:
            days = Days(
                parse_day(query.first) if query.first else date(1970, 1, 1),
                parse_day(query.last) if query.last else date.max,
            )
            if days.first > days.last:
                raise BadDate(f"the span begins on {days.first}, after it ends on {days.last}")
            return await read_page(
                self._sources, client_id, days, query.after, query.limit, wanted=wanted, candidate=candidate
            )
        except (BadDate, BadPlace) as error:
            raise invalid(str(error)) from None
        except StalePlace:
            raise ActRefused("page_gone", "Redis was restarted since the last page; begin with the first one") from None


def _of_outcome(outcome: Outcome | None) -> Callable[[Event], bool]:
    return lambda event: outcome is None or event.outcome == outcome


def _document(recorded: RecordedEvent) -> EventDocument:
    return EventDocument.model_validate(plain(recorded.event, recorded.amount))


def _resolution(event_id: str, text: bytes | None) -> Resolution | None:
    if text is None:
        return None
    decision, amount = parse(text)
    return Resolution(event=event_id, decision=Decision(decision), amount=str(amount), repeated=True)
