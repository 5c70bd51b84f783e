"""Which operator looks at a page or sends a form: the one place that every route for operators passes.

What an operator needs for a page or a form is the role that the admin API wants for the same: it is read off the very
endpoint that a route here names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_type_hints

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.auth.records import OperatorRecord, Role
from middlewares.exchange import Refusal
from proxy.api.admin.operations.acts import Acts
from proxy.api.admin.operations.direct import DirectOperations
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operator import Operator, OperatorWith
from proxy.control.apps import is_client_id
from proxy.control.audit.line import ActOutcome, AuditTarget, Result
from proxy.control.operators.records import OperatorSessionRecord
from proxy.portal.access.cookies import SessionCookie, form_token
from proxy.portal.access.forms import Fields, Mistake
from proxy.portal.access.operators import SignedInOperator
from proxy.portal.access.routes import SignInNeeded, form_route, page_route
from proxy.portal.access.visits import address_of, no_such_app
from proxy.portal.operator.fields import refusal_of
from proxy.portal.services import PortalServices

HOME = "/portal/operator"
NAVIGATION = (
    ("Today", HOME),
    ("Tenants", f"{HOME}/tenants"),
    ("Plans", f"{HOME}/plans"),
    ("Gateways", f"{HOME}/gateways"),
    ("Streams", f"{HOME}/streams"),
    ("Attention", f"{HOME}/attention"),
    ("Refusals", f"{HOME}/refusals"),
    ("Audit", f"{HOME}/audit"),
)
"""Pages that every page for operators links to, by what they are called there."""


Endpoint = Callable[..., Awaitable[Any]]
"""An endpoint of the admin API, whose `operator` says which role it takes."""


@dataclass(frozen=True, slots=True)
class OperatorVisit:
    """An operator who is signed in, at one of its pages."""

    for_operators: ClassVar[bool] = True
    pages: ClassVar[Sequence[tuple[str, str]]] = NAVIGATION
    app: ClassVar[None] = None
    request: Request
    visitor: SignedInOperator
    form_token: str = field(repr=False)
    acts: Acts = field(repr=False)
    """Writes audit lines in its name."""
    operations: DirectOperations = field(repr=False)
    """Everything that it can do, in its name."""
    mistake: Mistake | None = None
    """In the form that the page shows again."""

    @property
    def operator(self) -> OperatorRecord:
        """Return who it is."""
        return self.visitor.operator

    @property
    def session(self) -> OperatorSessionRecord:
        """Return the session of the browser."""
        return self.visitor.session

    @property
    def client_id(self) -> str:
        """Return the client id that the path names. Raises `Refusal` (404) for what cannot be one."""
        if not (found := _client_id(self.request)):
            raise no_such_app()
        return found

    def may(self, endpoint: Endpoint) -> bool:
        """Return True if the operator's role is enough for an endpoint of the admin API."""
        return self.operator.role.covers(role_for(endpoint))


@dataclass(frozen=True, slots=True)
class OperatorForm:
    """A form that a page for operators has sent. The operation that it asks for writes the line of the audit log."""

    visit: OperatorVisit
    fields: Fields

    @property
    def path(self) -> dict[str, Any]:
        """Return what the path names."""
        found: dict[str, Any] = self.visit.request.path_params
        return found


Page = Callable[[OperatorVisit], Awaitable[Response]]
Form = Callable[[OperatorForm], Awaitable[Response]]


def role_for(endpoint: Endpoint) -> Role:
    """Return the role that an endpoint of the admin API takes."""
    [with_role] = get_type_hints(endpoint, include_extras=True)["operator"].__metadata__
    assert isinstance(with_role.dependency, OperatorWith)  # noqa: S101 - every endpoint has it
    return with_role.dependency.role


class OperatorVisits:
    """Makes the routes of operators."""

    def __init__(self, services: PortalServices, cookie: SessionCookie) -> None:
        self._services = services
        self._cookie = cookie
        self.roles: dict[tuple[str, str], Role] = {}
        """What each route takes, by its method and path."""

    def page(self, path: str, show: Page, like: Endpoint, *, again: Page | None = None) -> Route:
        """Return the route of a page for whoever may call the endpoint `like`.

        `again`, by default the page itself, shows the filter where that is refused.
        """
        role = self.roles["GET", path] = role_for(like)

        async def look(visit: OperatorVisit) -> Response:
            visit.visitor.require(role)
            return await show(visit)

        return page_route(path, self._visit, look, again=again)

    def form(
        self,
        path: str,
        take: Form,
        like: Endpoint,
        *,
        action: str,
        kind: str,
        while_looking: bool = False,
        again: Page | None = None,
    ) -> Route:
        """Return the route of a form for whoever may call the endpoint `like`.

        While an operator looks at an app as its viewer does, no form is taken but those `while_looking`. What is
        refused before any operation begins is a line of the audit log: `action`, on something of that `kind`. `again`
        is the page of the form: it shows what was typed where that is refused.
        """
        role = self.roles["POST", path] = role_for(like)

        async def send(visit: OperatorVisit, fields: Fields) -> Response:
            try:
                if visit.session.impersonates and not while_looking:
                    raise Refusal(403, "read_only", "You look at an app as its viewer does. End that first.")
                visit.visitor.require(role)
                return await take(OperatorForm(visit, fields))
            except ActRefused as error:  # the operation has written its line
                raise refusal_of(error) from None
            except Refusal as refusal:
                target = AuditTarget(kind, "", _client_id(visit.request))
                actor, result = _acting(visit.request, visit.operator).actor, Result(ActOutcome.REFUSED, refusal.code)
                await self._services.audit.record(actor, action, target, result)
                raise

        return form_route(path, self._services.origin, self._cookie, self._visit, send, again=again)

    async def _visit(self, request: Request) -> OperatorVisit:
        """Return the visit. Raises `Refusal`: 401 for nobody, 403 for a member of an app."""
        services, token = self._services, self._cookie.read(request)
        signed_in = await services.operators.judge(token)
        if signed_in is None:
            try:
                member = await services.developers.judge(token.encode())
            except Refusal:
                member = None
            if member is None:
                raise SignInNeeded
            raise Refusal(403, "insufficient_role", "These pages are for operators.")
        acts = Acts(services.audit, _acting(request, signed_in.operator).actor)
        operations = DirectOperations(services.console.resources, acts)
        return OperatorVisit(request, signed_in, form_token(token), acts, operations)


def _client_id(request: Request) -> str:
    """Return the client id in the path; empty: there is none, or what is there cannot be one."""
    found: str = request.path_params.get("client_id", "")
    return found if is_client_id(found) else ""


def _acting(request: Request, operator: OperatorRecord) -> Operator:
    return Operator(operator, address_of(request))
