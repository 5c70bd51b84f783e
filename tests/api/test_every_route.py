"""Every route of the builder API: it has a scope and a response model, and its errors are those of one table.

All of it is made from the schema, so that a new route is in it without a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from proxy.api.builder import BuilderAPI, builder_application, is_open, required_scopes
from proxy.api.problems import NOT_OF_FASTAPI, problem_responses
from proxy.api.services import BuilderServices
from proxy.identity.developer_credentials import ROLE_SCOPES
from proxy.identity.token_issuer import APP_SCOPES, covered
from tests.sign_in.operator import Operator
from tests.support.builder import TOKEN, BuilderApp, bearer
from tests.support.deployment import Deployment
from tests.support.wallet import LOGIN, NONCE, Wallet

pytestmark = pytest.mark.asyncio(loop_scope="package")
NOTHING: Any = None
SERVICES = BuilderServices(*(NOTHING for _ in BuilderServices.__slots__))
OPEN = {NONCE, LOGIN, f"{LOGIN}-jwt"}
"""What one signs in with, and the only routes that need no credential."""
UNKNOWN = {
    "key_id": "a" * 16,
    "period": "2026-11",
    "webhook_id": "a" * 16,
    "delivery_id": f"msg_{'0' * 32}",
    "link_id": "a" * 16,
}
"""Path parameters that name no record."""


TEXTS = {"/api/v1/metrics"}
"""Routes whose responses are no JSON."""


def unguarded(api: BuilderAPI) -> list[str]:
    """Return the routes that lack a scope or a response model, and those that are open and should not be."""
    found = []
    for route in api.routes:
        if isinstance(route, APIRoute):
            model = route.response_model
            guarded = bool(required_scopes(route)) != is_open(route) and is_open(route) == (route.path in OPEN)
            is_model = isinstance(model, type) and issubclass(model, BaseModel)
            if not guarded or is_model == (route.path in TEXTS):
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
    if "NewWebhook" in name:
        return {"url": "https://hooks.invalid/"}
    if "NewCheckout" in name:
        return {"amount": "1000000"}
    if "NewPortalLink" in name:
        return {"subject": "ann"}
    return {"external_id": "of the other"} if "NewUser" in name else {}


async def test_nobody_gets_anywhere_without_a_credential(app: BuilderApp) -> None:
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    closed = [(method, path) for method, path, operation in operations(schema) if operation["security"]]
    assert {path for _, path, _ in operations(schema)} - {path for _, path in closed} == OPEN
    assert {(await app.http.request(method, path)).status_code for method, path in closed} == {401}


@pytest.mark.ci
async def test_a_wrong_method_names_all_that_the_path_takes(app: BuilderApp) -> None:
    """Hazard: each method of a path is a route of its own, and the framework names those of the first alone."""
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    for path, methods in schema["paths"].items():
        response = await app.http.options(path)
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed"), path
        taken = {each.upper() for each in methods}
        assert response.headers["allow"].split(", ") == sorted(taken | ({"HEAD"} if "GET" in taken else set())), path


VARYING = {"date", "x-request-id", "content-length"}
"""Headers that two requests do not share; a list of what happened may have grown between them."""


@pytest.mark.ci
async def test_head_is_answered_wherever_get_is(app: BuilderApp) -> None:
    """Hazard: FastAPI refuses HEAD where a route takes GET (RFC 9110 section 9.1)."""
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    user = await app.user("ann")
    assert not [path for path, methods in schema["paths"].items() if "head" in methods]
    for method, path, operation in operations(schema):
        ids = {"client_id": app.client_id, "user": user, "request_id": "0" * 26, "session_id": "a" * 16, **UNKNOWN}
        target = path.format(**ids)
        headers = bearer(await app.token()) if operation["security"] else {}
        head = await app.http.head(target, headers=headers)
        if method != "GET":
            assert (head.status_code == 405) == ("get" not in schema["paths"][path]), target
            continue
        get = await app.http.get(target, headers=headers)
        assert (head.status_code, head.content) == (get.status_code, b""), target
        assert {*head.headers} - VARYING == {*get.headers} - VARYING, target
        assert head.headers["content-type"] == get.headers["content-type"], target
        assert "content-length" in head.headers, target


@pytest.mark.parametrize("credentials", ["\xe9", "\xff\xfe", "w6k6\xe9", "%", "/zr/", "YQ=="])
async def test_basic_credentials_that_cannot_be_read_are_refused(app: BuilderApp, credentials: str) -> None:
    """Hazard: the library fails on text beyond ASCII in a way of its own, and anybody can send some."""
    headers = {b"authorization": b"Basic " + credentials.encode("latin-1")}
    listed = await app.http.get(f"{app.path}/users", headers=headers)
    issued = await app.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=headers)
    for response in (listed, issued):
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client"), response.text


@pytest.mark.slow
async def test_each_scope_opens_what_the_schema_says_and_nothing_else(app: BuilderApp) -> None:
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    user = await app.user("ann")
    for method, path, operation in operations(schema):
        if "{client_id}" not in path:
            continue
        target = path.format(client_id=app.client_id, user=user, **UNKNOWN)
        for scope in sorted(APP_SCOPES):
            response = await app.http.request(method, target, json={}, headers=bearer(await app.token(scope)))
            allowed = not covered([scope]).isdisjoint(operation["x-scopes"])
            assert (response.status_code != 403) == allowed, f"{method} {target} by {scope}: {response.text}"
            if method == "DELETE" and allowed:
                await app.http.patch(f"{app.path}/users/{user}", json={"status": "active"}, auth=app.basic)


@pytest.mark.ci
async def test_each_role_opens_the_routes_of_its_scopes_and_nothing_else(app: BuilderApp, running: Deployment) -> None:
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    user, operator = await app.user("ann"), Operator(running)
    for role, scopes in ROLE_SCOPES.items():
        wallet = Wallet()
        await operator.member(app.client_id, await operator.add(wallet), role)
        token = (await wallet.sign_in(app.http)).json()["token"]
        for method, path, operation in operations(schema):
            if "{client_id}" not in path:
                continue
            target = path.format(client_id=app.client_id, user=user, **UNKNOWN)
            response = await app.http.request(method, target, json={}, headers=bearer(token))
            allowed = not scopes.isdisjoint(operation["x-scopes"])
            assert (response.status_code != 403) == allowed, f"{method} {target} by {role}: {response.text}"
            if method == "DELETE" and allowed:
                await app.http.patch(f"{app.path}/users/{user}", json={"status": "active"}, auth=app.basic)


async def test_the_schema_names_problem_documents_and_no_other_errors(app: BuilderApp) -> None:
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    for _, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            media = next(iter(response["content"]))
            assert media == ("application/json" if status.startswith("2") else "application/problem+json"), path
        errors = {status for status in operation["responses"] if not status.startswith("2")}
        assert errors == {str(status) for status in problem_responses()} - {NOT_OF_FASTAPI}, "the one table's"
        if path not in OPEN:
            assert operation["security"]
            assert operation["x-scopes"]
