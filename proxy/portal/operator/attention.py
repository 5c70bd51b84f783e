"""Events that a person should look at, of all tenants, and decisions about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.api.admin.ledger_documents import Decision, ResolutionRequest
from proxy.api.admin.ledger_endpoints import EventEndpoints
from proxy.history.places import text_of
from proxy.portal.access.forms import typed
from proxy.portal.operator.fields import document_of
from proxy.portal.operator.visits import HOME, OperatorForm, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages, place_in, see_other
from proxy.portal.services import PortalServices
from proxy.reporting.house.attention import read_attention
from proxy.reporting.stream import RecordedEvent

ATTENTION = f"{HOME}/attention"
_LIMIT = 50


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """One event of the page."""

    recorded: RecordedEvent
    name: str
    """Name of the app."""

    @property
    def ended(self) -> datetime:
        """Return when it ended."""
        return datetime.fromtimestamp(self.recorded.event.time / 1_000, UTC)


class AttentionPages:
    """Open events, the oldest first; what is decided is not shown any more."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes."""
        one = f"{ATTENTION}/{{client_id}}/{{event_id}}"
        return (
            visits.page(ATTENTION, self.show, EventEndpoints.attention),
            visits.form(
                one, self.resolve, EventEndpoints.resolve, action="attention.resolve", kind="event", again=self.show
            ),
        )

    async def show(self, visit: OperatorVisit) -> Response:
        """Show a page of what is open."""
        place = place_in(visit.request, "after")
        found, following = await read_attention(self._services.sources, place, _LIMIT)
        apps = {each.event.app for each in found}
        names = await self._services.developers.apps.names(apps)
        return self._pages.show(
            "operator/attention.html",
            visit,
            sent_about=visit.request.path_params.get("event_id", ""),
            sent=typed(visit.mistake, {"note": "", "decision": ""}),
            after=visit.request.query_params.get("after", ""),
            rows=[AttentionRow(each, names.get(each.event.app, "")) for each in found],
            first=place is None,
            following=f"{ATTENTION}?after={text_of(following)}" if following else "",
            may_resolve=visit.may(EventEndpoints.resolve),
        )

    async def resolve(self, form: OperatorForm) -> Response:
        """Decide about an event, once and for good."""
        fields = form.fields
        if fields.get("decision") not in set(Decision):
            raise Refusal(400, "invalid_parameter", f"Decision: expected one of {', '.join(Decision)}.")
        request = document_of(ResolutionRequest, {"decision": fields["decision"], "note": fields.get("note", "")})
        await form.visit.operations.events.resolve(form.visit.client_id, form.path["event_id"], request)
        return see_other(ATTENTION)
