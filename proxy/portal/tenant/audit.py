"""Who did what to the records of an app."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.api.audit.lines import AuditLineView
from proxy.control.audit.line import LONGEST_TEXT
from proxy.history.audit.reader import AuditReader, parse_token
from proxy.history.audit.rows import AuditFilter
from proxy.portal.access.visits import Visit, Visits
from proxy.portal.filters import chosen_days
from proxy.portal.pages import Pages
from proxy.portal.services import PortalServices
from proxy.portal.tenant.overview import APP

_LIMIT = 50
_FILTERS = ("action", "actor", "target", "from", "to")


class AppAuditPages:
    """The audit lines of an app, as in the API."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._reader = AuditReader(services.sources.client, services.sources.history)
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the route."""
        return (visits.page(f"{APP}/audit", self.show),)

    async def show(self, visit: Visit) -> Response:
        """Show a page of lines, the newest first."""
        query = visit.request.query_params
        chosen = {name: query.get(name, "").strip()[:LONGEST_TEXT] for name in _FILTERS}
        path = f"/portal/apps/{visit.client_id}/audit"
        if visit.mistake is not None:
            return self._pages.show("audit.html", visit, chosen=chosen, longest=LONGEST_TEXT, audit_path=path)
        days = chosen_days(chosen["from"], chosen["to"])
        wanted = AuditFilter(
            app=visit.client_id,
            action=chosen["action"] or None,
            actor=chosen["actor"] or None,
            target=chosen["target"] or None,
            since_ms=days.start_ms,
            until_ms=days.end_ms,
        )
        before = query.get("before", "")
        try:
            place = parse_token(before) if before else None
        except ValueError as error:
            raise Refusal(400, "invalid_parameter", f"{error}.") from None
        lines, following = await self._reader.page(wanted, limit=_LIMIT, before=place)
        kept = {name: text for name, text in chosen.items() if text}
        return self._pages.show(
            "audit.html",
            visit,
            rows=[AuditLineView.of(each) for each in lines],
            chosen=chosen,
            first=not before,
            longest=LONGEST_TEXT,
            audit_path=path,
            newest=f"{path}?{urlencode(kept)}" if kept else path,
            following=f"{path}?{urlencode({**kept, 'before': following})}" if following else "",
        )
