"""The calls of Livepeer's tutorial for builders, as its TypeScript sends and reads them."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.builder import TOKEN, BuilderApp, bearer
from tests.support.deployment import Deployment, eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_from_client_credentials_to_usage(app: BuilderApp, running: Deployment) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": app.client_id,
        "client_secret": app.secret,
        "scope": "admin",
    }
    response = await app.http.post(
        TOKEN, data=form, headers={"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}
    )
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["expires_in"] == 3_600
    admin = bearer(response.json()["access_token"])

    users = f"{app.path}/users"
    created = await app.http.post(users, json={"external_id": "ann/1", "email": "a@x.example"}, headers=admin)
    again = await app.http.post(users, json={"external_id": "ann/1", "email": "b@x.example"}, headers=admin)
    assert (created.status_code, again.status_code) == (201, 200)
    user_id = created.json()["user_id"]
    assert re.fullmatch("[A-Za-z0-9_-]+", user_id)
    assert again.json()["user_id"] == user_id
    assert (again.json()["external_id"], again.json()["email"]) == ("ann/1", "b@x.example")
    await app.http.post(users, json={"external_id": "idle"}, headers=admin)

    issued = await app.http.post(f"{users}/{user_id}/token", json={"scope": "inference"}, headers=admin)
    assert (issued.status_code, issued.json()["expires_in"]) == (200, 900)
    image = await app.http.post(
        "/api/v1/inference/text-to-image",
        json={"model_id": "m", "prompt": "p", "width": 64, "height": 64},
        headers=bearer(issued.json()["access_token"]),
    )
    assert image.status_code == 200
    assert image.json()["images"]
    [event] = await running.settled(1, app.client_id)
    assert (event["user"], event["key"]) == (user_id, None)

    read = bearer(await app.token("read"))
    usage = (await app.http.get(f"{app.path}/usage", headers=read)).json()["users"]
    assert [each["external_id"] for each in usage] == ["ann/1", "idle"]
    assert [each["request_count"] for each in usage] == [1, 0]
    assert all(str(int(each["total_wei"])) == each["total_wei"] for each in usage)
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T00:00:00Z", usage[0]["last_used_at"])
    assert (usage[1]["last_used_at"], usage[1]["email"], usage[0]["email"]) == ("", "", "b@x.example")


async def test_scopes_keep_apart_what_the_tutorial_keeps_apart(app: BuilderApp) -> None:
    user = await app.user("ann")
    tokens = {
        "read": await app.token("read"),
        "inference": await app.user_token(user),
        "admin": await app.token("admin"),
    }

    async def status(scope: str, method: str, path: str, body: object) -> int:
        return (await app.http.request(method, path, json=body, headers=bearer(tokens[scope]))).status_code

    calls = [
        ("POST", f"{app.path}/users", {"external_id": "bob"}),
        ("POST", f"{app.path}/users/{user}/token", {"scope": "inference"}),
        ("GET", f"{app.path}/usage", None),
        ("POST", "/text-to-image", {"model_id": "m", "prompt": "p"}),
    ]
    found = {scope: [await status(scope, *call) for call in calls] for scope in tokens}
    assert found == {
        "read": [403, 403, 200, 403],
        "inference": [403, 403, 403, 200],
        "admin": [201, 200, 200, 403],
    }


async def test_errors_mean_what_the_tutorial_says(app: BuilderApp) -> None:
    wrong = await app.form(TOKEN, grant_type="client_credentials", client_secret=app.secret.swapcase())
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    admin = bearer(await app.token())
    missing = await app.http.post(f"{app.path}/users/usr_none/token", json={"scope": "inference"}, headers=admin)
    assert (missing.status_code, missing.json()["code"]) == (403, "user_not_provisioned")
    by_basic = await app.http.post(f"{app.path}/users/usr_none/token", json={}, auth=app.basic)
    assert (by_basic.status_code, by_basic.json()["code"]) == (404, "unknown_id")
    scope = await app.http.post(f"{app.path}/users/usr_none/token", json={"scope": "admin"}, headers=admin)
    assert (scope.status_code, scope.json()["code"]) == (400, "invalid_scope")


async def test_a_deactivated_user_is_refused_by_every_worker_at_once(app: BuilderApp) -> None:
    """Hazard: a token that outlives its user, because a worker remembers that it was good."""
    user = await app.user("ann")
    token = await app.user_token(user)

    async def statuses() -> set[int]:
        found = set()
        for _ in range(8):  # each on a connection of its own, so that either worker is met
            async with httpx.AsyncClient(base_url=app.http.base_url, trust_env=False, verify=False) as client:
                body = {"model_id": "m", "prompt": "p"}
                found.add((await client.post("/text-to-image", json=body, headers=bearer(token))).status_code)
        return found

    assert await statuses() == {200}
    deleted = await app.http.delete(f"{app.path}/users", params={"externalUserId": "ann"}, auth=app.basic)
    assert (deleted.status_code, deleted.json()["status"]) == (200, "suspended")

    async def all_refused() -> bool:
        return await statuses() == {401}

    await eventually(all_refused, 20)
    refused = await app.http.post(f"{app.path}/users/{user}/token", json={}, auth=app.basic)
    assert (refused.status_code, refused.json()["code"]) == (403, "user_suspended")
    again = await app.http.patch(f"{app.path}/users/ann", json={"status": "active"}, auth=app.basic)
    assert again.json()["status"] == "active"
