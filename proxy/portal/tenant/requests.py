"""The latest requests of an app, and the explanation of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.house import RefusalFilter
from proxy.history.newest import UsesPage, newest_uses
from proxy.history.packing import StreamEntry
from proxy.history.places import TimePlace, text_of
from proxy.history.reader import LedgerEntries
from proxy.portal import words
from proxy.portal.access.forms import FilterRefused
from proxy.portal.access.visits import Visit, Visits
from proxy.portal.pages import Pages, place_in, see_other
from proxy.portal.services import PortalServices
from proxy.portal.tenant.overview import APP
from proxy.reporting.dates import EVER
from proxy.reporting.explain.compose import explanation
from proxy.reporting.explain.documents import Explanation
from proxy.reporting.explain.facts import read_facts
from proxy.reporting.house.refusals import place_at, read_newest_refusals
from proxy.reporting.stream import RecordedEvent, UnreadableEvent, decode

_ID = re.compile(r"[A-Za-z0-9._-]{1,600}")
_LIMIT = 50
_REFUSALS = 20
"""Refusals below the newest requests; a page of older ones has as many as one of requests."""
_STATUS = re.compile(r"[1-5][0-9]{2}")
_LONGEST_NAME = 300


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One event of the page."""

    recorded: RecordedEvent

    @property
    def ended(self) -> datetime:
        """Return when it ended."""
        return _moment(self.recorded.event.time)


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """One refusal of the page."""

    record: RefusalRecord

    @property
    def refused(self) -> datetime:
        """Return when it was refused."""
        return _moment(self.record.time)


class RequestPages:
    """Requests of an app, those that were refused included."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes."""
        path = f"{APP}/requests"
        return visits.page(path, self.show), visits.page(f"{path}/{{request_id}}", self.explain)

    async def show(self, visit: Visit) -> Response:
        """Show a page of requests, the newest first; whoever searches for an id comes to its explanation."""
        query = visit.request.query_params
        path = f"/portal/apps/{visit.client_id}/requests"
        wanted, status_text = query.get("id", "").strip(), query.get("status", "").strip()
        model, outcome = query.get("model", "").strip()[:_LONGEST_NAME], query.get("outcome", "")
        if visit.mistake is not None:
            typed: dict[str, Any] = {"wanted": wanted, "model": model, "http_status": status_text, "outcome": outcome}
            return self._pages.show("requests.html", visit, requests_path=path, outcomes=words.OUTCOMES, **typed)
        if wanted:
            if not _ID.fullmatch(wanted):
                raise FilterRefused("id", _unknown().detail, 404)
            return see_other(f"{path}/{wanted}")
        status = _status(status_text)
        before, refused = place_in(visit.request, "before"), None if outcome else place_in(visit.request, "refused")
        sources, app = self._services.sources, visit.client_id
        page = UsesPage(
            (EVER.start_ms, EVER.end_ms), before, _LIMIT, model=model or None, outcome=outcome or None, status=status
        )
        entries, following = ([], None) if refused else await newest_uses(sources, app, page)
        rows = readable_rows(LedgerEntries.of_app(sources, app).stream, entries)
        shown, refusals = _LIMIT if refused else _REFUSALS, list[RefusalRecord]()
        if before is None and not outcome:  # what was refused has not begun, and did not end in any way
            of = RefusalFilter(app, status, model)
            refusals = await read_newest_refusals(sources, refused or TimePlace(EVER.end_ms, ""), shown + 1, of)
        older = place_at(refusals[shown - 1]) if len(refusals) > shown else None
        found = ("model", model), ("status", f"{status or ''}"), ("outcome", outcome)
        chosen = {name: value for name, value in found if value}
        return self._pages.show(
            "requests.html",
            visit,
            rows=rows,
            unreadable=len(entries) - len(rows),
            refusals=[RefusalRow(each) for each in refusals[:shown]],
            older_refusals=f"{path}?{urlencode({**chosen, 'refused': text_of(older)})}" if older else "",
            only_refusals=refused is not None,
            wanted="",
            model=model,
            http_status=status or "",
            outcome=outcome,
            outcomes=words.OUTCOMES,
            first=before is None,
            requests_path=path,
            newest=f"{path}?{urlencode(chosen)}" if chosen else path,
            following=f"{path}?{urlencode({**chosen, 'before': text_of(following)})}" if following else "",
        )

    async def explain(self, visit: Visit) -> Response:
        """Show why a request was refused, or what it was charged and why. Raises `Refusal` (404)."""
        request_id = visit.request.path_params["request_id"]
        if not _ID.fullmatch(request_id):
            raise _unknown()
        services = self._services
        try:
            facts = await read_facts(services.sources, services.plans, visit.client_id, request_id)
        except UnreadableEvent:
            raise _unreadable() from None
        if facts is None:
            raise _unknown()
        found: Explanation = explanation(facts, services.settings.currency, for_operator=False)
        return self._pages.show("request.html", visit, found=found)


def readable_rows(stream: str, entries: Sequence[StreamEntry]) -> list[RequestRow]:
    """Return those of the entries that can be read; one that cannot hides none of the others."""
    found = []
    for entry, fields in entries:
        with suppress(UnreadableEvent):
            found.append(RequestRow(decode(stream, entry, fields)))
    return found


def _status(text: str) -> int | None:
    """Return the HTTP status that is searched for; None: any. Raises `FilterRefused`."""
    if text and not _STATUS.fullmatch(text):
        raise FilterRefused("status", "Expected an HTTP status such as 429.")
    return int(text) if text else None


def _unknown() -> Refusal:
    return Refusal(404, "unknown_id", "There is no request of this id in this app.")


def _unreadable() -> Refusal:
    return Refusal(409, "unreadable_event", "The ledger has an entry that is no event; tell the operator.")


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)
