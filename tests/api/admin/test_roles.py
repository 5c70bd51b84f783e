"""Every route of the admin API has a role and a response model, and no credential but an operator's opens one.

The matrix is made from the schema, so that a new route is in it without a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from middlewares.auth.records import Role
from proxy.api.admin.application import AdminAPI, required_role
from proxy.api.admin.routes import add_routes
from proxy.api.audit.route import ACTION
from tests.api.admin.conftest import ADMIN, Operated
from tests.support.builder import BuilderApp, bearer

pytestmark = pytest.mark.asyncio(loop_scope="package")
UNKNOWN = {
    "client_id": f"app_{'a' * 16}",
    "key_id": "a" * 16,
    "operator_id": "a" * 16,
    "user": "nobody",
    "event_id": "x",
    "developer_id": f"dev_{'a' * 16}",
    "invite_id": "a" * 16,
    "request_id": "x",
    "webhook_id": "a" * 16,
    "delivery_id": f"msg_{'0' * 32}",
}


class NoResources:
    """Resources of an application that only shows its routes."""

    def __getattr__(self, name: str) -> Any:
        return self


def application() -> AdminAPI:
    """Return an application without anything behind its routes."""
    nothing: Any = NoResources()
    api = AdminAPI(None)
    add_routes(api, nothing)
    return api


def unguarded(api: AdminAPI) -> list[str]:
    """Return the routes that lack a role or a response model."""
    return [
        route.path
        for route in api.routes
        if isinstance(route, APIRoute)
        and not (
            required_role(route)
            and isinstance(route.response_model, type)
            and issubclass(route.response_model, BaseModel)
        )
    ]


async def test_every_route_has_a_role_and_a_response_model() -> None:
    api = application()
    assert len([route for route in api.routes if isinstance(route, APIRoute)]) > 30
    assert unguarded(api) == []


async def test_a_route_without_a_role_is_found() -> None:
    api = application()

    async def open_to_all() -> dict[str, str]:
        return {}

    api.serve("GET", f"{ADMIN}/open", open_to_all)
    assert unguarded(api) == [f"{ADMIN}/open"]


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of every route in the schema."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


@pytest.mark.slow
async def test_each_role_opens_its_routes_and_no_other_credential_any(operated: Operated, app: BuilderApp) -> None:
    """Hazard (OWASP API5): a route that a role, an app, a user or nobody at all may call, and should not."""
    schema = (await operated.http.get(f"{ADMIN}/openapi.json")).json()
    user = await app.user("ann")
    user_key = (await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()["key"]
    strangers = {
        "nobody": {},
        "app token": bearer(await app.token("admin")),
        "user token": bearer(await app.user_token(user)),
        "user key": bearer(user_key),
        "app key": bearer(await operated.deployment.key(app.client_id)),
        "client secret": bearer(app.secret),
        "basic": {"authorization": app.basic._auth_header},
        "api key header": {"x-api-key": user_key},
        "unknown operator": bearer(f"tgo_{'a' * 16}_{'0' * 43}000000"),
    }
    crossings: list[tuple[str, str, str, int]] = []
    tried = 0
    for listener in (operated.deployment.private, operated.deployment.public):
        for method, path, operation in operations(schema):
            target = listener + path.format(**UNKNOWN)
            needed = Role(operation["x-role"])
            for role in Role:
                # a body that no route takes and ids that nothing has: what passes the role goes no further
                body: dict[str, Any] = {"json": []} if "requestBody" in operation else {}
                if role.covers(needed) and not body and method != "GET" and "{" not in path:
                    continue  # it would be done: the routes' own tests do it
                response = await operated.http.request(method, target, headers=operated.headers(role), **body)
                tried += 1
                if (response.status_code != 403) != role.covers(needed):
                    crossings.append((method, path, role, response.status_code))
            for name, headers in strangers.items():
                response = await operated.http.request(method, target, headers=headers)
                tried += 1
                if response.status_code != 401:
                    crossings.append((method, path, name, response.status_code))
    assert crossings == []
    assert tried > 600


@pytest.mark.ci
async def test_head_is_answered_wherever_get_is(operated: Operated) -> None:
    schema = (await operated.http.get(f"{ADMIN}/openapi.json")).json()
    assert not [path for path, methods in schema["paths"].items() if "head" in methods]
    targets = [path.format(**UNKNOWN) for method, path, _ in operations(schema) if method == "GET"]
    for target in targets:
        assert (await operated.http.head(target)).status_code == 401, target
        get = await operated.http.get(target, headers=operated.headers())
        head = await operated.http.head(target, headers=operated.headers())
        assert (head.status_code, head.content) == (get.status_code, b""), target
        assert head.headers["content-type"] == get.headers["content-type"], target
    assert len(targets) > 10


def unaudited(schema: dict[str, Any]) -> list[str]:
    """Return the routes that change something and name no action of the audit log."""
    return [f"{method} {path}" for method, path, each in operations(schema) if method != "GET" and ACTION not in each]


@pytest.mark.ci
async def test_every_route_that_changes_something_names_its_audit_action() -> None:
    api = application()
    assert unaudited(api.openapi()) == []

    async def change() -> dict[str, str]:
        return {}

    api.serve("DELETE", f"{ADMIN}/everything", change)
    api.openapi_schema = None
    assert unaudited(api.openapi()) == [f"DELETE {ADMIN}/everything"]


async def test_an_operator_key_opens_nothing_of_an_app(operated: Operated, app: BuilderApp) -> None:
    for role in Role:
        headers = operated.headers(role)
        assert (await app.http.get(f"{app.path}/users", headers=headers)).status_code == 401
        assert (await app.http.post("/llm", json={}, headers=headers)).status_code == 401


async def test_the_schema_names_problem_documents_roles_and_no_other_errors(operated: Operated) -> None:
    schema = (await operated.http.get(f"{ADMIN}/openapi.json")).json()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    for _, path, operation in operations(schema):
        assert operation["x-role"] in set(Role)
        assert operation["security"] == [{"operator": []}]
        assert "422" not in operation["responses"]
        for status, response in operation["responses"].items():
            [media] = response.get("content", {"application/json": {}})
            assert media == ("application/json" if status.startswith("2") else "application/problem+json"), path


async def test_a_revoked_operator_is_refused_at_once(operated: Operated) -> None:
    made = (
        await operated.http.post(f"{ADMIN}/operators", json={"name": "x", "role": "admin"}, headers=operated.headers())
    ).json()
    headers = bearer(made["key"])
    for listener in (operated.deployment.private, operated.deployment.public):
        assert (await operated.http.get(f"{listener}{ADMIN}/apps", headers=headers)).status_code == 200
    revoked = await operated.http.delete(f"{ADMIN}/operators/{made['operator_id']}", headers=operated.headers())
    assert revoked.json()["status"] == "revoked"
    for listener in (operated.deployment.private, operated.deployment.public):
        assert (await operated.http.get(f"{listener}{ADMIN}/apps", headers=headers)).status_code == 401
