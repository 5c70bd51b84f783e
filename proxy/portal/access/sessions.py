"""The page of all sessions of a person, and the ends of them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.control.audit.line import AuditTarget
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.sign_in import SIGN_IN
from proxy.portal.access.visits import Submission, Visit, Visits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices


class SessionPages:
    """Sessions of whoever is signed in, those of the API included."""

    def __init__(self, services: PortalServices, pages: Pages, cookie: SessionCookie) -> None:
        self._developers = services.developers
        self._pages = pages
        self._cookie = cookie

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes."""
        path = "/portal/sessions"
        return (
            visits.page(path, self.show),
            visits.form(f"{path}/end-all", self.end_all, action="session.end_all", kind="developer"),
            visits.form(f"{path}/{{session_id}}/end", self.end, action="session.end", kind="session"),
        )

    async def show(self, visit: Visit) -> Response:
        """Show the sessions, oldest first."""
        found = await self._developers.sessions.list(visit.developer)
        return self._pages.show("sessions.html", visit, sessions=found)

    async def end(self, form: Submission) -> Response:
        """End one session. Raises `Refusal` (404) for one of others."""
        visit, session_id = form.visit, form.visit.request.path_params["session_id"]
        if not await self._developers.sessions.end(visit.developer.developer_id, session_id):
            raise Refusal(404, "unknown_id", "There is no such session.")
        form.act.target = AuditTarget("session", session_id)
        return see_other("/portal/sessions")

    async def end_all(self, form: Submission) -> Response:
        """End all sessions and tokens of the person, this session included."""
        visit = form.visit
        form.act.target = AuditTarget("developer", visit.developer.developer_id)
        form.act.detail["sessions"] = len(await self._developers.sessions.list(visit.developer))
        await self._developers.developers.end_sessions(visit.developer.developer_id)
        response = see_other(SIGN_IN)
        self._cookie.clear(response)
        return response
