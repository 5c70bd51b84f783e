"""Every route of the admin API, with ids that exist and bodies that would be taken, by whoever may not call it.

What stands between them and the records is the role alone: in the end an admin does all of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest
import pytest_asyncio

from middlewares.auth.records import Role
from tests.api.admin.conftest import ADMIN
from tests.api.schema.administered import administered
from tests.api.schema.campaign import turn
from tests.api.schema.matrix import Tenant, tenant
from tests.api.test_every_route import OPEN, body_of, operations
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]
SUPPORT_WRITES = {
    ("POST", "/apps/{client_id}/suspend"),
    ("POST", "/apps/{client_id}/resume"),
    ("DELETE", "/keys/{key_id}"),
    ("PUT", "/apps/{client_id}/users/{user}/status"),
    ("POST", "/developers/{developer_id}/suspend"),
    ("POST", "/developers/{developer_id}/resume"),
    ("DELETE", "/invites/{invite_id}"),
    ("POST", "/apps/{client_id}/attention/{event_id}"),
    ("POST", "/webhooks/{webhook_id}/test"),
    ("POST", "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"),
}
"""All that support may change."""
ADMIN_READS = {"/operators", "/apps/{client_id}/subject"}
"""What only an admin may read."""
OWNED = ("user", "event_id")
"""Path parameters beside the client id that name a record of one app."""


@pytest_asyncio.fixture(loop_scope="package")
async def victim(running: Deployment, http: httpx.AsyncClient) -> Tenant:
    """Return an app with every credential that one has."""
    return await tenant(running, http, "administered")


def short(path: str) -> str:
    """Return a path below that of the admin API."""
    return path.removeprefix(ADMIN)


async def test_support_changes_what_it_may_and_viewers_nothing(running: Deployment, victim: Tenant) -> None:
    """Hazard (OWASP API5): a new route whose role is too low, because nobody thought of it."""
    records = await administered(running, victim.app, victim.ids)
    roles = {(method, short(path)): Role(operation["x-role"]) for method, path, operation in records.routes()}
    writes = {route: role for route, role in roles.items() if route[0] != "GET"}
    assert {route for route, role in writes.items() if role is not Role.ADMIN} == SUPPORT_WRITES
    assert Role.VIEWER not in writes.values()
    assert {path for (method, path), role in roles.items() if method == "GET" and role is not Role.VIEWER} == (
        ADMIN_READS
    )


@pytest.mark.timeout(300)
async def test_nobody_without_the_role_reads_or_changes_anything(running: Deployment, victim: Tenant) -> None:
    """Hazard (OWASP API1, API5): credentials of apps, users, members and lesser operators, on records that exist."""
    records = await administered(running, victim.app, victim.ids)
    before, statuses = await records.everything(), Counter[int]()
    crossings: list[str] = []
    at_once = asyncio.Semaphore(8)
    lesser = {role: records.operators[role] for role in (Role.VIEWER, Role.SUPPORT)}

    async def refused(who: str, headers: dict[str, str], status: int, method: str, path: str) -> None:
        async with at_once:
            response = await records.send(method, path, records.schema["paths"][path][method.lower()], headers)
        statuses[response.status_code] += 1
        if response.status_code != status:
            crossings.append(f"{method} {path} by {who}: {response.status_code} {response.text}")

    attempts = []
    for method, path, operation in records.routes():
        for role, headers in lesser.items():
            if not role.covers(Role(operation["x-role"])):
                attempts.append(refused(role, headers, 403, method, path))
        for name, headers in victim.credentials.items():
            attempts.append(refused(name, headers, 401, method, path))
    await asyncio.gather(*attempts)
    print(f"{statuses.total()} requests, {len(crossings)} crossings: {dict(sorted(statuses.items()))}")
    assert crossings == []
    assert await records.everything() == before
    assert statuses[401] > 1_000
    assert statuses[403] > 50


@pytest.mark.timeout(300)
async def test_no_operator_is_anybody_in_the_builder_api(running: Deployment, victim: Tenant) -> None:
    """Hazard: a key that administers everything, and acts as an app or a developer, too."""
    records = await administered(running, victim.app, victim.ids)
    schema = (await victim.app.http.get("/api/v1/openapi.json")).json()
    before = await victim.everything(schema)
    crossings = []
    for method, path, operation in operations(schema):
        for role, headers in records.operators.items():
            if path not in OPEN:
                target, body = path.format(**victim.ids), body_of(schema, operation)
                response = await victim.app.http.request(method, target, json=body, headers=headers)
                if response.status_code != 401:
                    crossings.append(f"{method} {path} by {role}: {response.status_code} {response.text}")
    assert crossings == []
    assert await victim.everything(schema) == before


@pytest.mark.timeout(300)
async def test_the_record_of_one_app_is_not_found_below_another(running: Deployment, victim: Tenant) -> None:
    """Hazard: an operator who acts on the wrong app's user or event, by two ids that do not belong together."""
    records = await administered(running, victim.app, victim.ids)
    beside = await tenant(running, victim.app.http, "beside")
    before, headers = await records.everything(), records.operators[Role.ADMIN]
    tried = 0
    for method, path, operation in records.routes():
        if not any(f"{{{name}}}" in path for name in OWNED):
            continue
        response = await records.send(method, path, operation, headers, client_id=beside.app.client_id)
        assert (response.status_code, response.json()["code"]) == (404, "unknown_id"), f"{method} {path}"
        tried += 1
    path = f"{records.origin}{ADMIN}/apps/{beside.app.client_id}"
    user, credit = {"user": records.ids["user"]}, {"amount": "7", "reference": "r"}
    for response in (
        await records.http.post(f"{path}/erase", json={**user, "irreversible": True}, headers=headers),
        await records.http.post(f"{path}/keys", json=user, headers=headers),
        await records.http.get(f"{path}/subject", params=user, headers=headers),
        await records.http.get(f"{path}/credits", params=user, headers=headers),
        await records.http.post(f"{path}/credits/grant", params=user, json=credit, headers=headers),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "unknown_id"), response.url
    assert tried >= 4
    assert await records.everything() == before


@pytest.mark.timeout(300)
async def test_all_of_it_would_have_been_done_for_an_admin(running: Deployment, victim: Tenant) -> None:
    """Hazard: a matrix that is green because its requests could never do anything."""
    records = await administered(running, victim.app, victim.ids)
    headers = records.operators
    for method, path, operation in sorted(records.routes(), key=lambda route: turn(route[0], route[1])):
        role = Role.SUPPORT if (method, short(path)) in SUPPORT_WRITES else Role.ADMIN
        response = await records.send(method, path, operation, headers[role])
        assert response.status_code in (200, 201), f"{method} {path}: {response.text}"
