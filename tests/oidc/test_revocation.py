"""Hazards: a revoked token that some worker still takes, and tokens that other apps may look into."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")
REVOCATION = "/api/v1/oidc/token/revocation"
INTROSPECTION = "/api/v1/oidc/token/introspection"
IMAGE = {"model_id": "m", "prompt": "p"}


async def statuses(base: httpx.URL, token: str) -> set[int]:
    """Return what either worker says to the token, each on connections of their own."""

    async def one() -> int:
        async with httpx.AsyncClient(base_url=base, trust_env=False, verify=False) as client:
            return (await client.post("/text-to-image", json=IMAGE, headers=bearer(token))).status_code

    return set(await asyncio.gather(*(one() for _ in range(8))))


async def test_a_revoked_token_is_refused_by_every_worker_at_once(app: BuilderApp) -> None:
    user = await app.user("ann")
    token, other = await app.user_token(user), await app.user_token(user)
    base = app.http.base_url
    assert await statuses(base, token) == {200}
    response = await app.form(REVOCATION, token=token)
    assert (response.status_code, response.content) == (200, b"")

    async def refused() -> bool:
        return await statuses(base, token) == {401}

    await eventually(refused, 20)
    assert await statuses(base, other) == {200}, "another token of the same user goes on"
    document = (await app.http.post("/text-to-image", json=IMAGE, headers=bearer(token))).json()
    assert document["code"] == "token_revoked"
    assert (await app.form(REVOCATION, token=token)).status_code == 200, "repeating it is no error"


async def test_a_token_that_was_revoked_while_its_user_was_suspended_stays_so(app: BuilderApp) -> None:
    """Hazard: nothing is remembered of a token that is refused at that moment for another reason."""
    user = await app.user("ann")
    token = await app.user_token(user)
    path = f"{app.path}/users/{user}"

    async def code() -> str:
        response = await app.http.post("/text-to-image", json=IMAGE, headers=bearer(token))
        return str(response.json().get("code"))

    async def suspended() -> bool:
        return await code() == "user_suspended"

    async def resumed() -> bool:
        return await code() == "token_revoked"

    await app.http.patch(path, json={"status": "suspended"}, auth=app.basic)
    await eventually(suspended, 20)
    assert (await app.form(REVOCATION, token=token)).status_code == 200
    await app.http.patch(path, json={"status": "active"}, auth=app.basic)
    await eventually(resumed, 20)
    assert await code() == "token_revoked"


async def test_a_revoked_token_of_the_app_opens_nothing(app: BuilderApp) -> None:
    token = await app.token("admin")
    assert (await app.http.get(f"{app.path}/users", headers=bearer(token))).status_code == 200
    await app.form(REVOCATION, token=token)

    async def refused() -> bool:
        return (await app.http.get(f"{app.path}/users", headers=bearer(token))).status_code == 401

    await eventually(refused, 20)


async def test_introspection_says_what_a_token_is_good_for(app: BuilderApp, running: Deployment) -> None:
    user = await app.user("ann")
    token = await app.user_token(user)
    found = (await app.form(INTROSPECTION, token=token)).json()
    assert (found["active"], found["sub"], found["client_id"]) == (True, user, app.client_id)
    assert found["scope"] == "inference"
    assert found["exp"] - found["iat"] == 900
    key = (await app.form(INTROSPECTION, token=await running.key(app.client_id))).json()
    assert (key["active"], key["sub"], key["scope"]) == (True, app.client_id, "inference")
    await app.form(REVOCATION, token=token)

    async def inactive() -> bool:
        return bool((await app.form(INTROSPECTION, token=token)).json() == {"active": False})

    await eventually(inactive, 20)


async def test_another_apps_token_is_neither_shown_nor_revoked(app: BuilderApp, running: Deployment) -> None:
    other = await builder_app(running, app.http)
    token = await app.token("read")
    assert (await other.form(INTROSPECTION, token=token)).json() == {"active": False}
    assert (await other.form(REVOCATION, token=token)).status_code == 200
    assert (await app.form(INTROSPECTION, token=token)).json()["active"] is True


@pytest.mark.parametrize("path", [REVOCATION, INTROSPECTION])
async def test_nobody_looks_without_a_secret(app: BuilderApp, path: str) -> None:
    response = await app.http.post(path, data={"token": await app.token("read")})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert (await app.form(path)).json()["error"] == "invalid_request"
