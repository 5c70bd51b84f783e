"""The application of `/portal`: its routes, and its errors as pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.exceptions import RedisClusterException, RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from middlewares.exchange import Exchange, Outcome, Refusal
from middlewares.store import StoreError
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.application import allowed_methods
from proxy.control.records import UnknownRecord
from proxy.history.store import HistoryUnavailable
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.new_sessions import NewSessions
from proxy.portal.access.operators import OperatorElsewhere
from proxy.portal.access.provider import ProviderPages
from proxy.portal.access.routes import SignInNeeded
from proxy.portal.access.sent_forms import FormRepeated
from proxy.portal.access.sessions import SessionPages
from proxy.portal.access.sign_in import SIGN_IN, SignInPages
from proxy.portal.access.visits import Visits
from proxy.portal.access.wallet import WalletPages
from proxy.portal.operator.fields import refusal_of
from proxy.portal.operator.routes import operator_routes
from proxy.portal.operator.visits import HOME, OperatorVisits
from proxy.portal.pages import Pages, see_other, sign_in_first, static_routes
from proxy.portal.services import PortalServices
from proxy.portal.shared.pages import SharedPages
from proxy.portal.tenant.audit import AppAuditPages
from proxy.portal.tenant.keys import KeyPages
from proxy.portal.tenant.overview import OverviewPages
from proxy.portal.tenant.requests import RequestPages
from proxy.portal.tenant.statements import StatementPages
from proxy.portal.tenant.try_it import TryItPages
from proxy.portal.tenant.usage import UsagePages
from proxy.portal.tenant.users import UserPages
from proxy.portal.tenant.webhooks import WebhookPages


def portal_application(services: PortalServices) -> Starlette:
    """Return the application."""
    pages = Pages(services.settings.currency)
    cookie = SessionCookie(services.origin)
    visits, operators = Visits(services, cookie), OperatorVisits(services, cookie)
    sessions = NewSessions(services, pages, cookie)
    application = Starlette(
        routes=[
            RefusedBefore(),
            *static_routes(),
            *WalletPages(services, pages, sessions, cookie).routes(),
            *ProviderPages(services, pages, sessions, cookie).routes(),
            *SignInPages(services, pages, sessions, cookie).routes(visits),
            *SharedPages(services, pages, cookie).routes(),
            *SessionPages(services, pages, cookie).routes(visits),
            *OverviewPages(services, pages).routes(visits),
            *KeyPages(services, pages).routes(visits),
            *UserPages(services, pages).routes(visits),
            *UsagePages(services, pages).routes(visits),
            *RequestPages(services, pages).routes(visits),
            *StatementPages(services, pages).routes(visits),
            *WebhookPages(services, pages).routes(visits),
            *TryItPages(services, pages).routes(visits),
            *AppAuditPages(services, pages).routes(visits),
            *operator_routes(services, pages, cookie, operators),
        ],
        exception_handlers=_handlers(pages),
    )
    application.state.operator_roles = operators.roles
    application.router.redirect_slashes = False  # it redirects to the Host that a client claims
    return application


class RefusedBefore(BaseRoute):
    """Takes the requests that were refused on their way here, whatever they ask for, so that a page says why."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match what the edge has refused."""
        return (Match.FULL if "tollgate.refusal" in scope else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise the refusal, as a page would."""
        raise scope["tollgate.refusal"]


def _handlers(pages: Pages) -> Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """Return what shows errors; the response stage logs and counts them by what is noted in the exchange."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)  # noqa: S101 - registered for nothing else
        exchange: Exchange = request.scope["tollgate.exchange"]
        exchange.end(Outcome.REFUSED, error.code, error.status)
        looks = request.method in ("GET", "HEAD")
        if isinstance(error, SignInNeeded) and looks:
            return sign_in_first(request, SIGN_IN)
        if isinstance(error, OperatorElsewhere) and looks:
            return see_other(HOME)
        headers = {name.decode(): value.decode() for name, value in error.headers}
        if error.close:
            headers["connection"] = "close"
        page = error.page if isinstance(error, FormRepeated) else "/portal"
        visit = getattr(request.state, "visit", None)
        return pages.show("error.html", visit, status=error.status, headers=headers, refusal=error, page=page)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, UnknownRecord)  # noqa: S101 - as above
        return await refused(request, Refusal(404, "unknown_id", "There is nothing of this name."))

    async def act_refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, ActRefused)  # noqa: S101 - as above
        return await refused(request, refusal_of(error))

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as above
        if error.status_code == 405:
            allowed = allowed_methods(request)
            headers = [(b"allow", allowed.encode())]
            refusal = Refusal(405, "method_not_allowed", f"This page takes {allowed}.", headers=headers)
        else:
            refusal = Refusal(404, "not_found", "There is no such page.")
        return await refused(request, refusal)

    async def store_unavailable(request: Request, error: Exception) -> Response:
        detail = "What this page shows cannot be read at the moment; try again shortly."
        if request.method == "POST":
            store = "The history" if isinstance(error, HistoryUnavailable) else "Redis"
            detail = f"{store} is unavailable. Whether the form was taken is not known: look before you send it again."
        return await refused(request, Refusal(503, "store_unavailable", detail, headers=[(b"retry-after", b"1")]))

    async def failed(_: Request, _error: Exception) -> Response:
        """Show that Tollgate failed; the framework raises the error again, and the response stage logs it."""
        refusal = Refusal(500, "internal_error", "Tollgate failed; its operator finds why in the log.")
        return pages.show("error.html", None, status=500, refusal=refusal, page="/portal")

    return {
        Refusal: refused,
        HTTPException: of_framework,
        UnknownRecord: unknown,
        ActRefused: act_refused,
        StoreError: store_unavailable,
        RedisError: store_unavailable,
        RedisClusterException: store_unavailable,
        Exception: failed,
    }
