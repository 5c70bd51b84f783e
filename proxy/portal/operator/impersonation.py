"""Looking at the pages of an app as its viewer does: noted in session and audit log, and good for no form."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from proxy.api.admin.endpoints import AppEndpoints
from proxy.api.admin.operations.acts import Acts
from proxy.control.operators.records import OperatorSessionRecord
from proxy.control.operators.sessions import OperatorSessions
from proxy.portal.operator.visits import HOME, OperatorForm, OperatorVisits
from proxy.portal.pages import see_other
from proxy.portal.services import PortalServices


class Impersonation:
    """Begins and ends a look. Whoever may read an app may have one."""

    def __init__(self, services: PortalServices) -> None:
        self._services = services

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes."""
        begin, end = f"{HOME}/tenants/{{client_id}}/look", f"{HOME}/impersonation/end"
        return (
            visits.form(begin, self.begin, AppEndpoints.get, action="impersonation.begin", kind="app"),
            visits.form(end, self.end, AppEndpoints.get, action="impersonation.end", kind="app", while_looking=True),
        )

    async def begin(self, form: OperatorForm) -> Response:
        """Show the pages of an app from now on, until that is ended, or the session is."""
        visit, client_id = form.visit, form.visit.client_id
        async with visit.acts.act("impersonation.begin", "app", client_id, client_id):
            await self._services.developers.apps.require(client_id)
            await self._services.operators.sessions.impersonate(visit.session.session_id, client_id)
        return see_other(f"/portal/apps/{client_id}")

    async def end(self, form: OperatorForm) -> Response:
        """End the look."""
        visit = form.visit
        looked_at = await end_look(visit.acts, self._services.operators.sessions, visit.session)
        return see_other(f"{HOME}/tenants/{looked_at}" if looked_at else HOME)


async def end_look(acts: Acts, sessions: OperatorSessions, session: OperatorSessionRecord) -> str:
    """End the look that a session has, and write that. Return the client id of the app; empty: there was none."""
    looked_at = session.impersonates
    if looked_at:
        async with acts.act("impersonation.end", "app", looked_at, looked_at):
            await sessions.impersonate(session.session_id, "")
    return looked_at
