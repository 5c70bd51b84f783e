"""The audit log of the house, by filters, and the verification of its chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from proxy.api.admin.audit_endpoints import AuditLogEndpoints
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operations.query import AuditQuery
from proxy.portal.access.forms import FilterRefused
from proxy.portal.filters import chosen_days
from proxy.portal.operator.fields import refusal_of
from proxy.portal.operator.visits import HOME, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages
from proxy.portal.services import PortalServices

AUDIT = f"{HOME}/audit"
_LIMIT = 100
_LONGEST = 200
_FILTERS = ("app", "actor", "action", "target", "from", "to")


class AuditPages:
    """Audit lines, as `tollgate audit` prints them."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes."""
        return (
            visits.page(AUDIT, self.show, AuditLogEndpoints.page),
            visits.page(f"{AUDIT}/verification", self.verify, AuditLogEndpoints.verify),
        )

    async def show(self, visit: OperatorVisit) -> Response:
        """Show a page of lines, the newest first."""
        chosen = {name: _text(visit, name) for name in _FILTERS}
        if visit.mistake is not None:
            return self._pages.show("operator/audit.html", visit, chosen=chosen)
        before = _text(visit, "before")
        found = await visit.operations.audit.page(_query(chosen, before))
        kept = {name: text for name, text in chosen.items() if text}
        return self._pages.show(
            "operator/audit.html",
            visit,
            lines=[(each, datetime.fromisoformat(each.time)) for each in found.items],
            chosen=chosen,
            first=not before,
            newest=f"{AUDIT}?{urlencode(kept)}" if kept else AUDIT,
            following=f"{AUDIT}?{urlencode({**kept, 'before': found.next})}" if found.next else "",
        )

    async def verify(self, visit: OperatorVisit) -> Response:
        """Recompute the chain, and show what is wrong with it."""
        head = _text(visit, "head")
        if visit.mistake is not None:
            return self._pages.show("operator/audit_verification.html", visit, verdict=None, head=head)
        try:
            verdict = await visit.operations.audit.verify(head or None)
        except ActRefused as error:
            if (refusal := refusal_of(error)).status != 400:
                raise
            raise FilterRefused("head", refusal.detail) from None
        return self._pages.show("operator/audit_verification.html", visit, verdict=verdict, head=head)


def _query(chosen: Mapping[str, str], before: str) -> AuditQuery:
    """Return which lines are wanted. Raises `FilterRefused` for days that are none."""
    days = chosen_days(chosen["from"], chosen["to"])
    return AuditQuery(
        app=chosen["app"] or None,
        actor=chosen["actor"] or None,
        action=chosen["action"] or None,
        target=chosen["target"] or None,
        since_ms=days.start_ms,
        until_ms=days.end_ms,
        limit=_LIMIT,
        before=before,
    )


def _text(visit: OperatorVisit, name: str) -> str:
    return visit.request.query_params.get(name, "").strip()[:_LONGEST]
