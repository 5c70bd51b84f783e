"""Begins sessions for whoever has proven who they are, by whichever way."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import Act
from proxy.control.developers.records import DeveloperRecord
from proxy.identity.sign_up import AdmittedDeveloper, DeveloperRefused
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.visits import address_of, client_of
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices

SIGNS_IN = "developer.portal_sign_in"
"""Action in the audit log."""


class NewSessions:
    """Signs browsers in. The token is a new one each time, whatever cookie the browser came with."""

    def __init__(self, services: PortalServices, pages: Pages, cookie: SessionCookie) -> None:
        self._services = services
        self._pages = pages
        self._cookie = cookie

    async def begin(self, request: Request, developer: DeveloperRecord, act: Act) -> str:
        """Begin a session in the course of an act; return its token."""
        settings = self._services.settings
        session, token = await self._services.developers.sessions.begin(
            developer,
            timedelta(seconds=settings.sign_in.session_seconds),
            address=address_of(request),
            client=client_of(request),
            idle=timedelta(seconds=settings.portal.idle_seconds),
        )
        act.detail["session"] = session.session_id
        return token

    async def sign_in(self, request: Request, way: str, admitting: Awaitable[AdmittedDeveloper]) -> Response:
        """Sign in whoever `admitting` admits; show the secret of an app that the sign-up has made.

        Raises what `admitting` does.
        """
        async with self._services.audit.act(None, SIGNS_IN, AuditTarget("developer", "")) as act:
            act.detail["way"] = way
            try:
                admitted = await admitting
            except DeveloperRefused as refused:
                _name_in(act, refused.developer, request)
                raise
            _name_in(act, admitted.developer, request)
            token = await self.begin(request, admitted.developer, act)
        if admitted.app is None:
            response = see_other("/portal")
        else:
            response = self._pages.show("sign_in_app.html", None, app=admitted.app)
        self._cookie.set(response, token)
        return response


def _name_in(act: Act, developer: DeveloperRecord, request: Request) -> None:
    """Say in the audit log who it was that proved to be this developer."""
    act.actor = Actor(ActorKind.DEVELOPER, developer.developer_id, address=address_of(request))
    act.target = AuditTarget("developer", developer.developer_id)
