"""Two apps, every route of the schema, every id, every credential, in both directions: neither crosses to the other.

Nothing of the other's is read or changed (OWASP API1, API3, API5).
"""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from tests.api.schema.matrix import Attempt, Tenant, tenant
from tests.support.builder import API_KEY, TOKEN, TOKEN_EXCHANGE, BuilderApp, bearer
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]


def crossing(attempt: Attempt, response: httpx.Response, victim: Tenant) -> bool:
    """Return True if the response tells, or does, something of the other app."""
    if any(mark in response.text for mark in victim.marks):
        return True
    if attempt.names_app:
        return (response.status_code, response.json()["code"]) != (404, "unknown_id")
    if attempt.params:
        return response.status_code >= 500  # a filter that selects nothing, a name that does not exist
    return response.status_code not in (400, 403, 404)


@pytest.mark.timeout(300)
async def test_no_request_crosses(running: Deployment, http: httpx.AsyncClient) -> None:
    schema = (await http.get("/api/v1/openapi.json")).json()
    one, two = await tenant(running, http, "one"), await tenant(running, http, "two")
    statuses: Counter[int] = Counter()
    crossings: list[str] = []
    at_once = asyncio.Semaphore(8)

    async def send(attempt: Attempt, victim: Tenant) -> None:
        async with at_once:
            response = await http.request(
                attempt.method, attempt.path, params=attempt.params, json=attempt.body, headers=attempt.headers
            )
        statuses[response.status_code] += 1
        if crossing(attempt, response, victim):
            crossings.append(f"{attempt}: {response.status_code} {response.text}")

    for attacker, victim in ((one, two), (two, one)):
        before = await victim.everything(schema)
        for mark in victim.marks:
            assert mark in str(before), "its own app reads it"
        await asyncio.gather(*(send(attempt, victim) for attempt in attacker.attempts_on(victim, schema)))
        assert await victim.everything(schema) == before
    print(f"{statuses.total()} requests, {len(crossings)} crossings: {dict(sorted(statuses.items()))}")
    assert crossings == []
    assert statuses.total() > 1_000
    assert statuses[404] > 500


async def test_the_same_external_id_is_another_user_in_another_app(app: BuilderApp, running: Deployment) -> None:
    """Hazard: a record that is found by the name alone, which both apps gave."""
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    victim = await tenant(running, app.http, "namesake")
    before = await victim.everything(schema)
    await app.user("ann", email="ann@mine.example")
    users = f"{app.path}/users"
    assert (await app.http.patch(f"{users}/ann", json={"email": "new@mine.example"}, auth=app.basic)).status_code == 200
    assert (await app.http.post(f"{users}/ann/keys", json={}, auth=app.basic)).status_code == 201
    assert (await app.http.delete(users, params={"externalUserId": "ann"}, auth=app.basic)).status_code == 200
    assert await victim.everything(schema) == before


async def test_the_issuer_knows_no_credential_of_another_app(app: BuilderApp, running: Deployment) -> None:
    victim = await tenant(running, app.http, "exchanged")
    key = victim.credentials["key of its user"]["authorization"].removeprefix("Bearer ")
    token = victim.credentials["inference of its user"]["authorization"].removeprefix("Bearer ")
    exchange = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": API_KEY}
    for path in (TOKEN, f"{app.path}/oidc/token"):
        for secret in (app.secret, ""):
            refused = await app.form(path, **exchange, subject_token=key, client_secret=secret)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    for credential in (key, token):
        inspected = await app.form("/api/v1/oidc/token/introspection", token=credential)
        assert inspected.json() == {"active": False}
        assert (await app.form("/api/v1/oidc/token/revocation", token=credential)).status_code == 200
        body = {"model_id": "m", "prompt": "p"}
        assert (await app.http.post("/text-to-image", json=body, headers=bearer(credential))).status_code == 200
