"""Signing in by a link that is good once, and signing out."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.auth.keys import parse_sign_in_link
from middlewares.exchange import Refusal
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.developers.sign_in_links import SIGN_IN_PATH
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.forms import check_same_origin
from proxy.portal.access.new_sessions import SIGNS_IN, NewSessions
from proxy.portal.access.visits import Submission, Visits, address_of
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices

SIGN_IN = SIGN_IN_PATH.rstrip("/")


class SignInPages:
    """The pages for whoever is not signed in.

    A GET uses up no link: programs that preview links in messages follow them, too.
    """

    def __init__(self, services: PortalServices, pages: Pages, sessions: NewSessions, cookie: SessionCookie) -> None:
        self._services = services
        self._pages = pages
        self._sessions = sessions
        self._cookie = cookie

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes."""
        link = f"{SIGN_IN}/{{secret}}"
        return (
            Route(SIGN_IN, self.explain, methods=["GET"]),
            Route(link, self.offer, methods=["GET"]),
            Route(link, self.sign_in, methods=["POST"]),
            visits.form("/portal/sign-out", self.sign_out, action="session.end", kind="session"),
        )

    async def explain(self, _: Request) -> Response:
        """Show the ways to sign in that there are."""
        settings = self._services.settings
        provider = settings.portal.oidc if settings.portal.oidc.issuer else None
        invites = provider is not None and provider.sign_up and settings.sign_up.policy != "closed"
        return self._pages.show(
            "sign_in.html", None, wallet=settings.sign_in.wallet, provider=provider, invites=invites
        )

    async def offer(self, request: Request) -> Response:
        """Show the button of a link. Raises `Refusal` for a link that is not good any more."""
        secret = link_secret(request)
        self._cookie.check_allowed()
        if await self._services.links.find(secret) is None:
            raise link_not_good()
        return self._pages.show("sign_in_link.html", None)

    async def sign_in(self, request: Request) -> Response:
        """Use up a link, and begin a session with a token of its own. Raises `Refusal`.

        The secret of the link is what binds the form to this browser, which has no session yet.
        """
        services, secret = self._services, link_secret(request)
        check_same_origin(request, services.origin)
        self._cookie.check_allowed()
        link = await services.links.find(secret)
        if link is None:
            raise link_not_good()
        actor = Actor(ActorKind.DEVELOPER, link.developer, address=address_of(request))
        target = AuditTarget("developer", link.developer)
        async with services.audit.act(actor, SIGNS_IN, target) as act:
            act.detail["link"] = link.link_id
            if not await services.links.take(link.link_id):
                raise link_not_good()
            developer = await services.developers.developers.require(link.developer)
            if developer.status != "active":
                raise Refusal(403, "developer_inactive", "This developer may not sign in; ask the operator.")
            token = await self._sessions.begin(request, developer, act)
        response = see_other("/portal")
        self._cookie.set(response, token)
        return response

    async def sign_out(self, form: Submission) -> Response:
        """End the session of this browser."""
        visit = form.visit
        form.act.target = AuditTarget("session", visit.session.session_id)
        await self._services.developers.sessions.end(visit.developer.developer_id, visit.session.session_id)
        response = see_other(SIGN_IN)
        self._cookie.clear(response)
        return response


def link_secret(request: Request) -> str:
    """Return the secret of the path, if it has the form of one. Raises `Refusal` (404).

    No log masks a part of a secret that somebody has copied; but the path of what is not found is in none.
    """
    secret: str = request.path_params["secret"]
    if parse_sign_in_link(secret.encode(errors="replace")) is None:
        raise link_not_good(404)
    return secret


def link_not_good(status: int = 410) -> Refusal:
    """Return the refusal of a link that was used, is over, or never was one."""
    detail = "The link was used, has expired, or never was one. Ask the operator for another."
    return Refusal(status, "sign_in_link_invalid", detail)
