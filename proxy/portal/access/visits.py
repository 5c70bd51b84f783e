"""Who looks at a page or sends a form: the one place that every route for members passes.

An operator passes it, too, while its session impersonates an app: to the pages of that app as a viewer, and to no form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.auth.records import AppRecord
from middlewares.exchange import Exchange, Refusal
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import Act
from proxy.control.developers.records import DeveloperRecord, MemberRole, SessionRecord
from proxy.control.operators.records import OperatorSessionRecord
from proxy.identity.developer_credentials import ROLE_SCOPES, SignedInDeveloper
from proxy.identity.token_issuer import ADMIN, READ, USERS_READ, USERS_TOKEN, USERS_WRITE
from proxy.portal.access.cookies import SessionCookie, form_token
from proxy.portal.access.forms import Fields, Mistake
from proxy.portal.access.operators import OperatorElsewhere, SignedInOperator
from proxy.portal.access.routes import SignInNeeded, form_route, page_route
from proxy.portal.access.sent_forms import FORM_ID_FIELD, SentForms
from proxy.portal.services import PortalServices

_LONGEST_CLIENT = 200
_IMPERSONATED_ROLE: MemberRole = "viewer"


@dataclass(frozen=True, slots=True)
class Visit:
    """A developer who is signed in, at a page of an app where the path names one; or an operator who impersonates."""

    request: Request
    visitor: SignedInDeveloper | SignedInOperator
    form_token: str = field(repr=False)
    for_operators: ClassVar[bool] = False
    app: AppRecord | None = None
    role: str = ""
    """In the app; empty: the page is of none."""
    scopes: frozenset[str] = frozenset()
    """In the app, as in the API."""
    mistake: Mistake | None = None
    """In the form that the page shows again."""

    @property
    def developer(self) -> DeveloperRecord:
        """Return who is signed in; no page that asks for it is shown to an operator."""
        assert isinstance(self.visitor, SignedInDeveloper)  # noqa: S101 - `Visits` lets operators look at apps alone
        return self.visitor.developer

    @property
    def session(self) -> SessionRecord | OperatorSessionRecord:
        """Return the session of the browser."""
        return self.visitor.session

    @property
    def impersonated(self) -> bool:
        """True: an operator looks at the app as a viewer would."""
        return isinstance(self.visitor, SignedInOperator)

    @property
    def client_id(self) -> str:
        """Return the id of the app."""
        return self.app.client_id if self.app else ""

    @property
    def address(self) -> str:
        """Return the network address of the browser."""
        return address_of(self.request)

    @property
    def sees_keys(self) -> bool:
        """True if the role may list keys."""
        return USERS_READ in self.scopes

    @property
    def makes_user_keys(self) -> bool:
        """True if the role may make, rotate and end keys of users."""
        return USERS_TOKEN in self.scopes

    @property
    def changes_users(self) -> bool:
        """True if the role may add, change and suspend users."""
        return USERS_WRITE in self.scopes

    @property
    def manages(self) -> bool:
        """True if the role may do everything in the app."""
        return ADMIN in self.scopes

    def require(self, scope: str) -> None:
        """Raise `Refusal` (403) unless the role covers a scope."""
        if scope not in self.scopes:
            raise Refusal(403, "insufficient_scope", f"The role {self.role} may not do this.")


@dataclass(frozen=True, slots=True)
class Submission:
    """A form that a page of the portal has sent, and the line of the audit log that it becomes."""

    visit: Visit
    fields: Fields
    act: Act


Page = Callable[[Visit], Awaitable[Response]]
Form = Callable[[Submission], Awaitable[Response]]


class Visits:
    """Makes the routes of members."""

    def __init__(self, services: PortalServices, cookie: SessionCookie) -> None:
        self._services = services
        self._cookie = cookie
        self._sent = SentForms(services.sources.client)

    def page(
        self, path: str, show: Page, scope: str = READ, *, by_itself: bool = False, again: Page | None = None
    ) -> Route:
        """Return the route of a page; `scope` is needed where the path names an app.

        `by_itself`: browsers ask for it without anybody doing anything, so that it does not keep a session from being
        idle. `again`, by default the page itself, shows the filter where that is refused.
        """

        async def identify(request: Request) -> Visit:
            return await self._visit(request, is_use=not by_itself)

        async def look(visit: Visit) -> Response:
            if visit.app is not None:
                visit.require(scope)
            return await show(visit)

        return page_route(path, identify, look, again=again)

    def form(
        self,
        path: str,
        take: Form,
        *,
        action: str,
        kind: str,
        scope: str = "",
        once: str = "",
        again: Page | None = None,
    ) -> Route:
        """Return the route of a form, which writes one line of the audit log: `action`, on a record of that `kind`.

        With `once`, the path of the page that shows what it has made, the form carries an id (`m.once` in its template)
        and is taken one time: loading the page that follows again makes nothing twice. `again` is the page of the form:
        it shows what was typed where that is refused.
        """

        async def send(visit: Visit, fields: Fields) -> Response:
            actor = Actor(ActorKind.DEVELOPER, visit.developer.developer_id, address=visit.address)
            async with self._services.audit.act(actor, action, AuditTarget(kind, "", visit.client_id)) as act:
                if scope:
                    visit.require(scope)
                submission = Submission(visit, fields, act)
                if not once:
                    return await take(submission)
                page = once.format(**visit.request.path_params)
                async with self._sent.once(visit.session.session_id, fields.get(FORM_ID_FIELD, ""), page):
                    return await take(submission)

        return form_route(path, self._services.origin, self._cookie, self._sender, send, again=again)

    async def _sender(self, request: Request) -> Visit:
        """Return the visit of a form. Raises `Refusal`, as `_visit`; 403 for an operator."""
        visit = await self._visit(request)
        if visit.impersonated:
            detail = "You look at this app as its viewer does, and change nothing. End that to act as an operator."
            raise Refusal(403, "read_only", detail)
        return visit

    async def _visit(self, request: Request, *, is_use: bool = True) -> Visit:
        """Return the visit. Raises `Refusal`: 401 for nobody, 404 for an app of others, 403 for one suspended."""
        token = self._cookie.read(request)
        client_id = request.path_params.get("client_id")
        operator = await self._services.operators.judge(token, is_use=is_use)
        if operator is not None:
            return await self._impersonation(Visit(request, operator, form_token(token)), operator, client_id)
        try:
            signed_in = await self._services.developers.judge(token.encode(), is_use=is_use)
        except Refusal as refusal:
            if refusal.status == 401:
                raise SignInNeeded from None
            raise
        if signed_in is None:
            raise SignInNeeded
        visit = Visit(request, signed_in, form_token(token))
        return visit if client_id is None else await self._at(visit, client_id)

    async def _at(self, visit: Visit, client_id: str) -> Visit:
        found, developer = self._services.developers, visit.developer
        scopes = await found.scopes_in(client_id, developer)
        member = await found.memberships.get(client_id, developer.developer_id)
        app = await found.apps.get(client_id)
        if app is None or member is None:  # ended in between
            raise no_such_app()
        return replace(visit, app=app, role=member.role, scopes=scopes)

    async def _impersonation(self, visit: Visit, operator: SignedInOperator, client_id: str | None) -> Visit:
        """Return the visit of an operator, at the app that its session impersonates, and nowhere else."""
        if client_id is None:
            raise OperatorElsewhere
        app = await self._services.developers.apps.get(client_id)
        if app is None or operator.session.impersonates != client_id:
            raise no_such_app()
        return replace(visit, app=app, role=_IMPERSONATED_ROLE, scopes=ROLE_SCOPES[_IMPERSONATED_ROLE])


def no_such_app() -> Refusal:
    """Return the refusal of an app that is not there, or of others."""
    return Refusal(404, "unknown_id", "There is no such app.")


def address_of(request: Request) -> str:
    """Return the network address of the browser."""
    exchange: Exchange = request.scope["tollgate.exchange"]
    return exchange.client_address


def client_of(request: Request) -> str:
    """Return what the browser calls itself, as much of it as can be shown."""
    text = request.headers.get("user-agent", "")[:_LONGEST_CLIENT]
    return "".join(each if each.isprintable() else "?" for each in text)
