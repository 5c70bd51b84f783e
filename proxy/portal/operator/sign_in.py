"""How operators come in, by a link that is good once, where they are signed in, and how they leave."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.api.admin.endpoints import AppEndpoints
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operator import Operator
from proxy.control.audit.line import AuditTarget
from proxy.control.operators.sessions import OPERATOR_SIGN_IN_PATH
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.forms import check_same_origin
from proxy.portal.access.sign_in import SIGN_IN, link_not_good, link_secret
from proxy.portal.access.visits import address_of, client_of
from proxy.portal.operator.impersonation import end_look
from proxy.portal.operator.visits import HOME, OperatorForm, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices


class OperatorSignInPages:
    """Sign-in and sessions of operators."""

    def __init__(self, services: PortalServices, pages: Pages, cookie: SessionCookie) -> None:
        self._services = services
        self._pages = pages
        self._cookie = cookie

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes. Whoever is an operator may see and end its own sessions."""
        link, sessions, anyone = f"{OPERATOR_SIGN_IN_PATH}{{secret}}", f"{HOME}/sessions", AppEndpoints.page
        end: Any = {"action": "session.end", "kind": "operator-session", "while_looking": True}
        return (
            Route(link, self.offer, methods=["GET"]),
            Route(link, self.sign_in, methods=["POST"]),
            visits.page(sessions, self.show, anyone),
            visits.form(f"{sessions}/end-all", self.end_all, anyone, **{**end, "action": "session.end_all"}),
            visits.form(f"{sessions}/{{session_id}}/end", self.end, anyone, **end),
            visits.form(f"{HOME}/sign-out", self.sign_out, anyone, **end),
        )

    async def offer(self, request: Request) -> Response:
        """Show the button of a link, which stays good. Raises `Refusal` for one that is not good any more."""
        secret = link_secret(request)
        self._cookie.check_allowed()
        if await self._services.console.links.find(secret) is None:
            raise link_not_good()
        return self._pages.show("sign_in_link.html", None)

    async def sign_in(self, request: Request) -> Response:
        """Use up a link, and begin a session with a token of its own. Raises `Refusal`."""
        services, secret = self._services, link_secret(request)
        links, operators = services.console.links, services.operators
        check_same_origin(request, services.origin)
        self._cookie.check_allowed()
        link = await links.find(secret)
        operator = None if link is None else await operators.operators.get(link.operator)
        if link is None or operator is None:
            raise link_not_good()
        actor = Operator(operator, address_of(request)).actor
        async with services.audit.act(actor, "operator.portal_sign_in", AuditTarget("operator", link.operator)) as act:
            act.detail["link"] = link.link_id
            if not await links.take(link.link_id):
                raise link_not_good()
            if operator.status != "active":
                raise Refusal(403, "operator_revoked", "This operator is revoked, and may not sign in.")
            session, token = await operators.sessions.begin(
                operator,
                timedelta(seconds=services.settings.sign_in.session_seconds),
                address=address_of(request),
                client=client_of(request),
                idle=timedelta(seconds=services.settings.portal.idle_seconds),
            )
            act.detail["session"] = session.session_id
        response = see_other(HOME)
        self._cookie.set(response, token)
        return response

    async def show(self, visit: OperatorVisit) -> Response:
        """Show the sessions of the operator, oldest first."""
        found = await self._services.operators.sessions.of_owner(visit.operator.operator_id)
        return self._pages.show("operator/sessions.html", visit, sessions=found)

    async def end(self, form: OperatorForm) -> Response:
        """End one session. Raises `Refusal` (404) for one of others."""
        await self._end(form.visit, form.path["session_id"])
        return see_other(f"{HOME}/sessions")

    async def end_all(self, form: OperatorForm) -> Response:
        """End all sessions of the operator, this one included."""
        visit, sessions = form.visit, self._services.operators.sessions
        operator = visit.operator.operator_id
        found = await sessions.of_owner(operator)
        for each in found:
            await end_look(visit.acts, sessions, each)
        async with visit.acts.act("session.end_all", "operator", operator) as act:
            act.detail["sessions"] = len(found)
            for each in found:
                await sessions.end(operator, each.session_id)
        return self._left()

    async def sign_out(self, form: OperatorForm) -> Response:
        """End the session of this browser."""
        await self._end(form.visit, form.visit.session.session_id)
        return self._left()

    async def _end(self, visit: OperatorVisit, session_id: str) -> None:
        operator, sessions = visit.operator.operator_id, self._services.operators.sessions
        for each in await sessions.of_owner(operator):
            if each.session_id == session_id:
                await end_look(visit.acts, sessions, each)
        async with visit.acts.act("session.end", "operator-session", session_id):
            if not await sessions.end(operator, session_id):
                raise ActRefused("unknown_id", "there is no such session", 404)

    def _left(self) -> Response:
        response = see_other(SIGN_IN)
        self._cookie.clear(response)
        return response
