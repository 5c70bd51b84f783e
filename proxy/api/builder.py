"""The builder API: the FastAPI application of `/api/v1`, its table of routes and its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from proxy.api.audit.lines import AuditEndpoints
from proxy.api.audit.route import AuditedRoute
from proxy.api.caller import CallerWith, OpenToAll
from proxy.api.catalog.endpoint import CatalogEndpoint
from proxy.api.documentation.page import documentation_routes
from proxy.api.explain.endpoint import ExplainEndpoint
from proxy.api.json_api import JsonAPI
from proxy.api.keys.endpoints import AppKeyEndpoints, UserKeyEndpoints
from proxy.api.keys.models import KeyPage
from proxy.api.models import UserView
from proxy.api.payments.checkout import CheckoutEndpoint
from proxy.api.services import BuilderServices
from proxy.api.sign_in.routes import add_sign_in_routes
from proxy.api.statements.endpoints import AS_CSV, StatementEndpoints
from proxy.api.statements.models import StatementView
from proxy.api.tenant_metrics.endpoint import AS_PROMETHEUS, TenantMetricsEndpoint
from proxy.api.usage.endpoints import UsageEndpoints
from proxy.api.usage.models import UsageReport
from proxy.api.users import UserEndpoints
from proxy.api.view_links import PortalLinkList, ViewLinkEndpoints
from proxy.api.webhooks.endpoints import AppWebhookEndpoints
from proxy.api.webhooks.routes import serve_webhooks

OPENAPI_PATH = "/api/v1/openapi.json"
_APP = "/api/v1/apps/{client_id}"
_EXISTING = {200: {"model": UserView, "description": "The user existed already."}}
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the issuer, an API key, or a session."},
    "basic": {"type": "http", "scheme": "basic", "description": "Client id and client secret of the app."},
}


class BuilderAPI(JsonAPI):
    """The application, with the scopes of its routes in the schema."""

    def __init__(self) -> None:
        super().__init__(
            title="Tollgate", openapi_path=OPENAPI_PATH, security_schemes=_SECURITY_SCHEMES, security=_security
        )
        self.router.route_class = AuditedRoute


def required_scopes(route: APIRoute) -> tuple[str, ...]:
    """Return the scopes of which a caller of this route needs one; none if it lacks the dependency."""
    return tuple(
        scope
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, CallerWith)
        for scope in dependency.call.scopes
    )


def is_open(route: APIRoute) -> bool:
    """Return True if the route says that it needs no credential."""
    return any(isinstance(each.call, OpenToAll) for each in route.dependant.dependencies)


def _security(route: APIRoute) -> dict[str, Any]:
    if is_open(route):
        return {"security": []}
    scopes = list(required_scopes(route))
    ways: list[dict[str, list[str]]] = [{"bearer": []}]
    if "{client_id}" in route.path_format:
        ways.append({"basic": []})
    return {"security": ways, "x-scopes": scopes}


def builder_application(services: BuilderServices, routes: Sequence[BaseRoute] = ()) -> BuilderAPI:
    """Return the application; `routes` are others below `/api/v1`, which are no part of its schema."""
    api = BuilderAPI()
    api.state.callers, api.state.audit = services.callers, services.audit
    api.state.catalog_public = services.catalog_public
    users, keys, usage = UserEndpoints(services), UserKeyEndpoints(services), UsageEndpoints(services)
    _serve_users(api, users)
    _serve_keys(api, f"{_APP}/users/{{user}}/keys", keys, "user_key")
    _serve_keys(api, f"{_APP}/keys", AppKeyEndpoints(services), "app_key")
    api.serve("GET", f"{_APP}/audit", AuditEndpoints(services).list, name="list_audit_lines")
    api.serve("GET", f"{_APP}/usage", usage.usage, name="usage", response_model=UsageReport)
    api.serve("GET", f"{_APP}/usage/balance", usage.balance, name="balance")
    _serve_statements(api, StatementEndpoints(services))
    checkout = CheckoutEndpoint(services.checkout, services.users)
    api.serve(
        *("POST", f"{_APP}/checkout"),
        checkout.create,
        name="create_checkout",
        status_code=201,
        audit="checkout.create",
    )
    serve_webhooks(api, f"{_APP}/webhooks", AppWebhookEndpoints(services))
    _serve_view_links(api, ViewLinkEndpoints(services))
    api.serve("GET", "/api/v1/user/usage", usage.own_usage, name="own_usage", response_model=UsageReport)
    api.serve("GET", "/api/v1/user/usage/balance", usage.own_balance, name="own_balance")
    api.serve("GET", "/api/v1/user/usage/requests", usage.own_requests, name="own_requests")
    api.serve("GET", "/api/v1/catalog", CatalogEndpoint(services).catalog, name="catalog")
    api.serve("GET", "/api/v1/explain/{request_id}", ExplainEndpoint(services).explain, name="explain")
    api.serve(
        *("GET", "/api/v1/metrics"),
        TenantMetricsEndpoint(services).metrics,
        name="tenant_metrics",
        response_model=None,
        responses=AS_PROMETHEUS,
    )
    add_sign_in_routes(api.serve, services.developers)
    api.router.routes.extend([*routes, *documentation_routes()])
    return api


def _serve_keys(api: BuilderAPI, path: str, keys: UserKeyEndpoints | AppKeyEndpoints, name: str) -> None:
    one = f"{path}/{{key_id}}"
    api.serve("POST", path, keys.create, name=f"create_{name}", status_code=201, audit="key.create")
    api.serve("GET", path, keys.list, name=f"list_{name}s", response_model=KeyPage)
    api.serve("PATCH", one, keys.change, name=f"change_{name}", audit="key.change")
    api.serve("POST", f"{one}/rotate", keys.rotate, name=f"rotate_{name}", status_code=201, audit="key.rotate")
    api.serve("DELETE", one, keys.revoke, name=f"revoke_{name}", audit="key.revoke")


def _serve_users(api: BuilderAPI, users: UserEndpoints) -> None:
    path, one, ends = f"{_APP}/users", f"{_APP}/users/{{user}}", "user.deactivate"
    created: dict[str, Any] = {"status_code": 201, "responses": _EXISTING}
    api.serve("POST", path, users.create, name="create_user", audit="user.create", **created)
    api.serve("GET", path, users.list, name="list_users")
    api.serve("DELETE", path, users.deactivate_named, name="deactivate_user_by_external_id", audit=ends)
    api.serve("GET", one, users.get, name="get_user")
    api.serve("PATCH", one, users.change, name="change_user", audit="user.change")
    api.serve("DELETE", one, users.deactivate, name="deactivate_user", audit=ends)
    api.serve("POST", f"{one}/token", users.token, name="issue_user_token", audit="token.issue")


def _serve_view_links(api: BuilderAPI, links: ViewLinkEndpoints) -> None:
    path, one, view = f"{_APP}/portal-links", f"{_APP}/portal-links/{{link_id}}", PortalLinkList
    api.serve("POST", path, links.create, name="create_portal_link", status_code=201, audit="portal_link.create")
    api.serve("GET", path, links.list, name="list_portal_links", response_model=view)
    ended = "portal_link.revoke"
    api.serve("DELETE", one, links.revoke, name="revoke_portal_link", audit=ended, response_model=view)


def _serve_statements(api: BuilderAPI, statements: StatementEndpoints) -> None:
    api.serve("GET", f"{_APP}/statements", statements.list, name="list_statements")
    api.serve(
        "GET",
        f"{_APP}/statements/{{period}}",
        statements.get,
        name="get_statement",
        response_model=StatementView,
        response_model_exclude_unset=True,  # as `tollgate statements` writes them
        responses=AS_CSV,
    )
