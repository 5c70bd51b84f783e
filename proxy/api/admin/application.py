"""The admin API: the FastAPI application of `/api/v1/admin` and its schema."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from middlewares.auth.records import Role
from middlewares.exchange import Refusal
from middlewares.response.redaction import mask
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.operator import AdminRoute, OperatorGate, OperatorWith
from proxy.api.admin.routes import ADMIN_PATH, add_routes
from proxy.api.json_api import JsonAPI
from proxy.control.audit.log import AuditLog
from proxy.control.records import UnknownRecord

_SCHEMES = {"operator": {"type": "http", "scheme": "bearer", "description": "An operator key."}}


class AdminAPI(JsonAPI):
    """The application, with the roles of its routes in the schema."""

    def __init__(self, gate: OperatorGate | None) -> None:
        super().__init__(
            title="Tollgate administration",
            openapi_path=f"{ADMIN_PATH}/openapi.json",
            security_schemes=_SCHEMES,
            security=_security,
            handlers={ActRefused: _raise_refused, UnknownRecord: _raise_unknown},
        )
        self.state.gate = gate
        self.router.route_class = AdminRoute


def required_role(route: APIRoute) -> Role | None:
    """Return the role that the caller of a route needs; None if it lacks the dependency."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, OperatorWith):
            return dependency.call.role
    return None


def _security(route: APIRoute) -> dict[str, Any]:
    return {"security": [{"operator": []}], "x-role": required_role(route)}


async def _raise_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ActRefused)  # noqa: S101 - registered for nothing else
    raise Refusal(error.status, error.code, mask(str(error))) from None


async def _raise_unknown(_: Request, error: Exception) -> Response:
    raise Refusal(404, "unknown_id", mask(str(error))) from None


def admin_application(resources: Resources) -> AdminAPI:
    """Return the application over these resources."""
    failures = resources.settings.auth.failures_per_minute
    api = AdminAPI(OperatorGate(resources.operators, AuditLog(resources.store.redis), failures))
    add_routes(api, resources)
    return api
