"""Every route of the builder API: it has a scope and a response model, and other apps' ids do not exist for it.

The matrix is made from the schema, so that a new route is in it without a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from proxy.api.builder import BuilderAPI, builder_application, required_scopes
from proxy.api.services import BuilderServices
from proxy.identity.token_issuer import APP_SCOPES, covered
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
NOTHING: Any = None
SERVICES = BuilderServices(*(NOTHING for _ in BuilderServices.__slots__))


def unguarded(api: BuilderAPI) -> list[str]:
    """Return the routes that lack a scope or a response model."""
    found = []
    for route in api.routes:
        if isinstance(route, APIRoute):
            model = route.response_model
            if not required_scopes(route) or not (isinstance(model, type) and issubclass(model, BaseModel)):
                found.append(route.path)
    return found


async def test_every_route_has_a_scope_and_a_response_model() -> None:
    api = builder_application(SERVICES)
    assert len([route for route in api.routes if isinstance(route, APIRoute)]) > 10
    assert unguarded(api) == []


async def test_a_route_without_a_scope_is_found() -> None:
    api = builder_application(SERVICES)

    async def open_to_all() -> dict[str, str]:
        return {}

    api.serve("GET", "/api/v1/open", open_to_all)
    assert unguarded(api) == ["/api/v1/open"]


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of every route in the schema."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def any_of_user(operation: dict[str, Any]) -> bool:
    """Return True if the route takes the user's name as a parameter."""
    return any(each["name"] == "externalUserId" for each in operation.get("parameters", ()))


def body_of(schema: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any] | None:
    """Return a body that the route takes, None for one without."""
    if "requestBody" not in operation:
        return None
    name = str(operation["requestBody"]["content"]["application/json"]["schema"])
    return {"external_id": "of the other"} if "NewUser" in name else {}


async def test_other_apps_do_not_exist(running: Deployment, app: BuilderApp) -> None:
    """Hazard (OWASP API1, API5): a route that looks a record up without asking whose it is."""
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    other = await builder_app(running, app.http)
    theirs = await other.user("ann", email="ann@other.example")
    key = (await app.http.post(f"{other.path}/users/ann/keys", json={"name": "theirs"}, auth=other.basic)).json()
    mine = await app.user("bob")
    own_key = (await app.http.post(f"{app.path}/users/bob/keys", json={}, auth=app.basic)).json()
    before = (await app.http.get(f"{other.path}/users", auth=other.basic)).json()
    credentials: dict[str, dict[str, str]] = {scope: bearer(await app.token(scope)) for scope in APP_SCOPES}
    credentials["user token"] = bearer(await app.user_token(mine))
    credentials["user key"] = bearer(own_key["key"])
    tried = 0
    for method, path, operation in operations(schema):
        if "{" not in path and not any_of_user(operation):
            continue  # it names nobody
        body = body_of(schema, operation)
        for owner in (other, app):
            ids = {"client_id": owner.client_id, "user": theirs, "key_id": key["key_id"]}
            if owner is app and "{user}" not in path and not any_of_user(operation):
                continue  # no id of the other app is named
            target = path.format(**ids)
            for name, headers in credentials.items():
                params = {"externalUserId": theirs} if any_of_user(operation) else {}
                response = await app.http.request(method, target, params=params, json=body, headers=headers)
                place = f"{method} {target} by {name}: {response.status_code} {response.text}"
                assert response.status_code in (400, 403, 404), place
                if owner is other and "{client_id}" in path:
                    assert (response.status_code, response.json()["code"]) == (404, "unknown_id"), place
                for secret in (theirs, key["key_id"], "ann@other.example", key["last4"]):
                    assert secret not in response.text, place
                tried += 1
    assert tried > 150
    assert (await app.http.get(f"{other.path}/users", auth=other.basic)).json() == before
    [still] = (await app.http.get(f"{other.path}/users/ann/keys", auth=other.basic)).json()["keys"]
    assert still["status"] == "active"
    anonymous = {(await app.http.request(method, path)).status_code for method, path, _ in operations(schema)}
    assert anonymous == {401}


async def test_each_scope_opens_what_the_schema_says_and_nothing_else(app: BuilderApp) -> None:
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    user = await app.user("ann")
    for method, path, operation in operations(schema):
        if "{client_id}" not in path:
            continue
        target = path.format(client_id=app.client_id, user=user, key_id="aaaaaaaaaaaaaaaa")
        for scope in sorted(APP_SCOPES):
            response = await app.http.request(method, target, json={}, headers=bearer(await app.token(scope)))
            allowed = not covered([scope]).isdisjoint(operation["x-scopes"])
            assert (response.status_code != 403) == allowed, f"{method} {target} by {scope}: {response.text}"
            if method == "DELETE" and allowed:
                await app.http.patch(f"{app.path}/users/{user}", json={"status": "active"}, auth=app.basic)


async def test_the_schema_names_problem_documents_and_no_other_errors(app: BuilderApp) -> None:
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    for _, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            [media] = response["content"]
            assert media == ("application/json" if status.startswith("2") else "application/problem+json"), path
        assert "422" not in operation["responses"]
        assert operation["security"]
        assert operation["x-scopes"]
