"""The builder API: the FastAPI application of `/api/v1`, its table of routes and its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from proxy.api.caller import CallerWith
from proxy.api.json_api import JsonAPI
from proxy.api.keys import UserKeyEndpoints
from proxy.api.models import UserView
from proxy.api.services import BuilderServices
from proxy.api.usage import UsageEndpoints
from proxy.api.users import UserEndpoints

OPENAPI_PATH = "/api/v1/openapi.json"
_APP = "/api/v1/apps/{client_id}"
_EXISTING = {200: {"model": UserView, "description": "The user existed already."}}
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the issuer, or an API key."},
    "basic": {"type": "http", "scheme": "basic", "description": "Client id and client secret of the app."},
}


class BuilderAPI(JsonAPI):
    """The application, with the scopes of its routes in the schema."""

    def __init__(self) -> None:
        super().__init__(
            title="Tollgate", openapi_path=OPENAPI_PATH, security_schemes=_SECURITY_SCHEMES, security=_security
        )


def required_scopes(route: APIRoute) -> tuple[str, ...]:
    """Return the scopes of which a caller of this route needs one; none if it lacks the dependency."""
    return tuple(
        scope
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, CallerWith)
        for scope in dependency.call.scopes
    )


def _security(route: APIRoute) -> dict[str, Any]:
    scopes = list(required_scopes(route))
    ways: list[dict[str, list[str]]] = [{"bearer": []}]
    if "{client_id}" in route.path_format:
        ways.append({"basic": []})
    return {"security": ways, "x-scopes": scopes}


def builder_application(services: BuilderServices, routes: Sequence[BaseRoute] = ()) -> BuilderAPI:
    """Return the application; `routes` are others below `/api/v1`, which are no part of its schema."""
    api = BuilderAPI()
    api.state.callers = services.callers
    users, keys, usage = UserEndpoints(services), UserKeyEndpoints(services), UsageEndpoints(services)
    api.serve("POST", f"{_APP}/users", users.create, name="create_user", status_code=201, responses=_EXISTING)
    api.serve("GET", f"{_APP}/users", users.list, name="list_users")
    api.serve("DELETE", f"{_APP}/users", users.deactivate_named, name="deactivate_user_by_external_id")
    api.serve("GET", f"{_APP}/users/{{user}}", users.get, name="get_user")
    api.serve("PATCH", f"{_APP}/users/{{user}}", users.change, name="change_user")
    api.serve("DELETE", f"{_APP}/users/{{user}}", users.deactivate, name="deactivate_user")
    api.serve("POST", f"{_APP}/users/{{user}}/token", users.token, name="issue_user_token")
    api.serve("POST", f"{_APP}/users/{{user}}/keys", keys.create, name="create_user_key", status_code=201)
    api.serve("GET", f"{_APP}/users/{{user}}/keys", keys.list, name="list_user_keys")
    api.serve("DELETE", f"{_APP}/users/{{user}}/keys/{{key_id}}", keys.revoke, name="revoke_user_key")
    api.serve("GET", f"{_APP}/usage", usage.usage, name="usage")
    api.serve("GET", f"{_APP}/usage/balance", usage.balance, name="balance")
    api.serve("GET", "/api/v1/user/usage", usage.own_usage, name="own_usage")
    api.serve("GET", "/api/v1/user/usage/balance", usage.own_balance, name="own_balance")
    api.router.routes.extend(routes)
    api.complete()
    return api
