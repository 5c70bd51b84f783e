"""The newest refusals of all apps, and the explanation of any request as operators read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.api.admin.ledger_endpoints import EventEndpoints
from proxy.history.places import TimePlace, text_of
from proxy.portal.access.forms import FilterRefused
from proxy.portal.operator.visits import HOME, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages, place_in, see_other
from proxy.portal.services import PortalServices
from proxy.portal.tenant.requests import RefusalRow
from proxy.reporting.dates import EVER
from proxy.reporting.house.refusals import place_at, read_newest_refusals

REFUSALS, REQUESTS = f"{HOME}/refusals", f"{HOME}/requests"
_ID = re.compile(r"[A-Za-z0-9._-]{1,600}")
_LIMIT = 50


class RefusalPages:
    """Refusals as they were recorded; of many by one rule some are counted only, and so are those of nobody known."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes."""
        return (
            visits.page(REFUSALS, self.show, EventEndpoints.explain),
            visits.page(f"{REQUESTS}/{{request_id}}", self.explain, EventEndpoints.explain),
        )

    async def show(self, visit: OperatorVisit) -> Response:
        """Show a page of refusals, the newest first; whoever searches for an id comes to its explanation."""
        query = visit.request.query_params
        wanted = query.get("id", "").strip()
        if wanted and visit.mistake is None:
            if not _ID.fullmatch(wanted):
                raise FilterRefused("id", _unknown().detail, 404)
            return see_other(f"{REQUESTS}/{quote(wanted)}")
        before = place_in(visit.request, "before")
        found = await read_newest_refusals(self._services.sources, before or TimePlace(EVER.end_ms, ""), _LIMIT + 1)
        shown = found[:_LIMIT]
        names = await self._services.developers.apps.names({each.app for each in shown})
        return self._pages.show(
            "operator/refusals.html",
            visit,
            wanted=wanted,
            rows=[RefusalRow(each) for each in shown],
            names=names,
            first=before is None,
            following=f"{REFUSALS}?before={text_of(place_at(shown[-1]))}" if len(found) > _LIMIT else "",
        )

    async def explain(self, visit: OperatorVisit) -> Response:
        """Show why a request was refused, or what it was charged and why. Raises `Refusal` (404)."""
        request_id = visit.request.path_params["request_id"]
        if not _ID.fullmatch(request_id):
            raise _unknown()
        found = await visit.operations.events.explain(request_id)
        return self._pages.show("operator/request.html", visit, found=found)


def _unknown() -> Refusal:
    return Refusal(404, "unknown_id", "There is no such request.")
