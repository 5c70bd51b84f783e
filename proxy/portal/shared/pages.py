"""The pages of a link: a button, and the view behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.auth.keys import parse_view_link
from middlewares.exchange import Refusal
from middlewares.ledger.credit import prepaid
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.history.newest import UsesPage, newest_uses
from proxy.history.reader import LedgerEntries
from proxy.portal.access.brief_cookie import BriefCookie
from proxy.portal.access.cookies import SessionCookie
from proxy.portal.access.forms import check_same_origin
from proxy.portal.access.visits import address_of
from proxy.portal.charts import columns
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices
from proxy.portal.shared.views import SharedView, view_link_invalid, view_of
from proxy.portal.tenant.key_fields import in_order
from proxy.portal.tenant.requests import RequestRow, readable_rows
from proxy.reporting.dates import EVER, month_so_far, redis_today
from proxy.reporting.totals import Dimension, read_usage
from proxy.reporting.user_usage import dimensions_for, usage_by_user

VIEW = "/portal/view"
_REQUESTS = 20
_KEYS = 100
_MODELS = 200
_BY_DAY, _BY_MODEL = (Dimension.DAY,), (Dimension.WORKLOAD, Dimension.MODEL)


class SharedPages:
    """Shows one subject of an app what is its own.

    The secret of the link is the credential of the view, too, in a cookie: whoever has the link has both. It opens no
    other page, and no form takes it but the one that closes the view.
    """

    def __init__(self, services: PortalServices, pages: Pages, cookie: SessionCookie) -> None:
        self._services = services
        self._pages = pages
        self._allowed = cookie.allowed
        self._cookie = BriefCookie(cookie, "view")

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return (
            Route(VIEW, self.show, methods=["GET"]),
            Route(f"{VIEW}/close", self.close, methods=["POST"]),
            Route(f"{VIEW}/{{secret}}", self.offer, methods=["GET"]),
            Route(f"{VIEW}/{{secret}}", self.open, methods=["POST"]),
        )

    async def offer(self, request: Request) -> Response:
        """Show the button of a link. Raises `Refusal` for a link that is not good any more."""
        view = await view_of(self._services, self._secret(request))
        return self._pages.show("view_link.html", None, app=view.app)

    async def open(self, request: Request) -> Response:
        """Keep the link in this browser, and go to the view."""
        check_same_origin(request, self._services.origin)
        secret = self._secret(request)
        view = await view_of(self._services, secret)
        link = view.link
        kind = ActorKind.USER if link.kind == "user" else ActorKind.DEVELOPER
        actor = Actor(kind, link.subject, address=address_of(request))
        target = AuditTarget("portal_link", link.link_id, link.app)
        await self._services.audit.record(actor, "portal_link.open", target)
        response = see_other(VIEW)
        self._cookie.set(response, secret, max(1, int((link.expires_at - datetime.now(UTC)).total_seconds())))
        return response

    async def show(self, request: Request) -> Response:
        """Show credits, the usage of the month, the latest requests, and the keys."""
        view = await view_of(self._services, self._cookie.read(request) if self._allowed else "")
        services, app, user = self._services, view.app.client_id, view.user_id
        sources = services.sources
        today = await redis_today(sources.client)
        month = month_so_far(today)
        requests, older = await self._requests(view)
        read = await read_usage(sources, app, month, dimensions_for((*_BY_DAY, *_BY_MODEL)), user=user)
        by_day, by_model = await asyncio.to_thread(
            lambda: [usage_by_user(read, beside, user) for beside in (_BY_DAY, _BY_MODEL)]
        )
        models = sorted(by_model.groups.items(), key=lambda each: (-each[1].amount, -each[1].requests, each[0]))
        records, now = await services.api_keys.list(app), datetime.now(UTC)
        keys = in_order((each for each in records if user in (None, each.user)), now)
        amounts = {day: total.amount for (day,), total in by_day.groups.items()}
        return self._pages.show(
            "view.html",
            None,
            view=view,
            month=month,
            total=by_day.total,
            columns=columns([(f"{day}", amounts.get(f"{day}", 0)) for day in month.each()]),
            models=models[:_MODELS],
            other_models=len(models[_MODELS:]),
            balance=await prepaid.balance(services.runner, sources.keys, app, user),
            requests=requests,
            older=older,
            keys=keys[:_KEYS],
            suspended=await services.users.suspended(app, {each.user for each in keys[:_KEYS] if each.user}),
            hidden=len(keys[_KEYS:]),
            now=now,
        )

    async def close(self, request: Request) -> Response:
        """Have the browser forget the link; it stays good for whoever has it."""
        check_same_origin(request, self._services.origin)
        response = see_other("/portal/sign-in")
        self._cookie.clear(response)
        return response

    async def _requests(self, view: SharedView) -> tuple[list[RequestRow], bool]:
        """Return the latest requests, and True if there may be older ones, which were not looked at."""
        sources, app = self._services.sources, view.app.client_id
        page = UsesPage((EVER.start_ms, EVER.end_ms), None, _REQUESTS, user=view.user_id)
        entries, following = await newest_uses(sources, app, page)
        return readable_rows(LedgerEntries.of_app(sources, app).stream, entries), following is not None

    def _secret(self, request: Request) -> str:
        """Return the secret of the path, if it has the form of one. Raises `Refusal`: 404, 403 without HTTPS."""
        secret: str = request.path_params["secret"]
        if parse_view_link(secret.encode(errors="replace")) is None:
            raise view_link_invalid(404)
        if not self._allowed:
            detail = "Others could read the link on its way. The operator sets `public_url` to an https origin."
            raise Refusal(403, "https_needed", detail)
        return secret
