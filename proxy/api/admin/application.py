"""The admin API: the FastAPI application of `/api/v1/admin`, its table of routes and its schema."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from middlewares.auth.records import Role
from middlewares.exchange import Refusal
from proxy.api.admin.endpoints import AppEndpoints, EndUserEndpoints, KeyEndpoints, OperatorEndpoints
from proxy.api.admin.ledger_endpoints import CreditEndpoints, DeploymentEndpoints, EventEndpoints, ReportEndpoints
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.operator import OperatorGate, OperatorWith
from proxy.api.json_api import JsonAPI
from proxy.control.audit.log import AuditLog
from proxy.control.records import UnknownRecord

ADMIN_PATH = "/api/v1/admin"
_APP = f"{ADMIN_PATH}/apps/{{client_id}}"
_SCHEMES = {"operator": {"type": "http", "scheme": "bearer", "description": "An operator key."}}
_EXISTING = {200: {"description": "The user existed already."}}


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
    raise Refusal(error.status, error.code, str(error)) from None


async def _raise_unknown(_: Request, error: Exception) -> Response:
    raise Refusal(404, "unknown_id", str(error)) from None


def admin_application(resources: Resources) -> AdminAPI:
    """Return the application over these resources."""
    failures = resources.settings.auth.failures_per_minute
    api = AdminAPI(OperatorGate(resources.operators, AuditLog(resources.store.redis), failures))
    add_routes(api, resources)
    api.complete()
    return api


def add_routes(api: AdminAPI, resources: Resources) -> None:
    """Add the routes, one a line."""
    apps, keys, users = AppEndpoints(resources), KeyEndpoints(resources), EndUserEndpoints(resources)
    operators, credits_, events = OperatorEndpoints(resources), CreditEndpoints(resources), EventEndpoints(resources)
    reports, deployment = ReportEndpoints(resources), DeploymentEndpoints(resources)
    api.serve("POST", f"{ADMIN_PATH}/apps", apps.create, name="create_app", status_code=201)
    api.serve("GET", f"{ADMIN_PATH}/apps", apps.page, name="list_apps")
    api.serve("GET", _APP, apps.get, name="get_app")
    api.serve("PATCH", _APP, apps.change, name="change_app")
    api.serve("POST", f"{_APP}/suspend", apps.suspend, name="suspend_app")
    api.serve("POST", f"{_APP}/resume", apps.resume, name="resume_app")
    api.serve("POST", f"{_APP}/secret", apps.rotate_secret, name="rotate_secret")
    api.serve("POST", f"{_APP}/keys", keys.create, name="create_key", status_code=201)
    api.serve("GET", f"{_APP}/keys", keys.page, name="list_keys")
    api.serve("POST", f"{ADMIN_PATH}/keys/{{key_id}}/rotate", keys.rotate, name="rotate_key", status_code=201)
    api.serve("DELETE", f"{ADMIN_PATH}/keys/{{key_id}}", keys.revoke, name="revoke_key")
    api.serve("POST", f"{_APP}/users", users.create, name="create_end_user", status_code=201, responses=_EXISTING)
    api.serve("GET", f"{_APP}/users", users.page, name="list_end_users")
    api.serve("GET", f"{_APP}/users/{{user}}", users.get, name="get_end_user")
    api.serve("PUT", f"{_APP}/users/{{user}}/status", users.set_status, name="set_end_user_status")
    api.serve("GET", f"{_APP}/credits", credits_.show, name="show_credits")
    api.serve("POST", f"{_APP}/credits/grant", credits_.grant, name="grant_credits")
    api.serve("POST", f"{_APP}/credits/debit", credits_.debit, name="debit_credits")
    api.serve("GET", f"{_APP}/events", events.page, name="list_events")
    api.serve("GET", f"{_APP}/events/{{event_id}}", events.get, name="get_event")
    api.serve("GET", f"{_APP}/attention", events.attention, name="list_attention")
    api.serve("POST", f"{_APP}/attention/{{event_id}}", events.resolve, name="resolve_attention")
    api.serve("GET", f"{_APP}/usage", reports.usage, name="app_usage")
    api.serve("GET", f"{_APP}/statement", reports.statement, name="app_statement")
    api.serve("GET", f"{ADMIN_PATH}/verify", reports.verify, name="verify")
    api.serve("GET", f"{ADMIN_PATH}/plans", deployment.plans, name="list_plans")
    api.serve("GET", f"{ADMIN_PATH}/status", deployment.status, name="status")
    api.serve("POST", f"{ADMIN_PATH}/reload", deployment.reload, name="reload")
    api.serve("POST", f"{ADMIN_PATH}/issuer/rotate", deployment.rotate_issuer, name="rotate_issuer")
    api.serve("GET", f"{ADMIN_PATH}/history", deployment.history, name="history_state")
    api.serve("POST", f"{ADMIN_PATH}/history/adopt", deployment.adopt_history, name="adopt_history")
    api.serve("POST", f"{ADMIN_PATH}/operators", operators.create, name="create_operator", status_code=201)
    api.serve("GET", f"{ADMIN_PATH}/operators", operators.list, name="list_operators")
    api.serve("DELETE", f"{ADMIN_PATH}/operators/{{operator_id}}", operators.revoke, name="revoke_operator")
