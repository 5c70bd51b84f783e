"""The builder API: the FastAPI application of `/api/v1`, its table of routes and its schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from middlewares.json_codec import to_json
from proxy.api.application import EXCEPTION_HANDLERS
from proxy.api.caller import CallerWith
from proxy.api.catalog.endpoint import CatalogEndpoint
from proxy.api.keys import UserKeyEndpoints
from proxy.api.models import UserView
from proxy.api.problems import PROBLEM_SCHEMA, ProblemDocument, problem_responses, raise_invalid
from proxy.api.services import BuilderServices
from proxy.api.usage import UsageEndpoints
from proxy.api.users import UserEndpoints

OPENAPI_PATH = "/api/v1/openapi.json"
_APP = "/api/v1/apps/{client_id}"
_NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""Requests are logged and counted by the response stage, once, and without what clients send."""
_HANDLERS: dict[Any, Any] = {**EXCEPTION_HANDLERS, RequestValidationError: raise_invalid}
_EXISTING = {200: {"model": UserView, "description": "The user existed already."}}
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the issuer, or an API key."},
    "basic": {"type": "http", "scheme": "basic", "description": "Client id and client secret of the app."},
}


class BuilderAPI(FastAPI):
    """FastAPI with problem documents, without pages, redirects and telemetry."""

    def __init__(self) -> None:
        super().__init__(
            title="Tollgate",
            version=version("naap-tollgate"),
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry=_NO_TELEMETRY,
            exception_handlers=_HANDLERS,
        )
        self.add_route(OPENAPI_PATH, self._document, include_in_schema=False)
        self._encoded = b""

    async def _document(self, _: Request) -> Response:
        return Response(self._encoded, media_type="application/json")

    def complete(self) -> None:
        """Make the schema of all routes now, at start: it takes a tenth of a second, which no request should wait."""
        self._encoded = to_json(self.openapi())

    def serve(self, method: str, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route; its response model is what the endpoint says that it returns."""
        responses = {**problem_responses(), **options.pop("responses", {})}
        self.add_api_route(path, endpoint, methods=[method], responses=responses, **options)

    def openapi(self) -> dict[str, Any]:
        """Return the schema, made once, with scopes and problem documents."""
        if self.openapi_schema is None:
            schema = get_openapi(title=self.title, version=self.version, routes=self.routes)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})[PROBLEM_SCHEMA] = ProblemDocument.model_json_schema()
            components["securitySchemes"] = _SECURITY_SCHEMES
            for route in self.routes:
                if isinstance(route, APIRoute):
                    for method in route.methods or ():
                        schema["paths"][route.path_format][method.lower()] |= _security(route)
            self.openapi_schema = schema
        return self.openapi_schema


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
    api.state.catalog_public = services.catalog_public
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
    api.serve("GET", "/api/v1/catalog", CatalogEndpoint(services).catalog, name="catalog")
    api.router.routes.extend(routes)
    api.complete()
    return api
