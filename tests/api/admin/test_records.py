"""Apps, keys, users and operators over the admin API; what is done there holds for requests at once."""

from __future__ import annotations

from typing import Any

import pytest

from middlewares.auth.records import Role
from tests.api.admin.conftest import ADMIN, Operated
from tests.support.builder import BuilderApp, bearer

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def call(operated: Operated, method: str, path: str, status: int = 200, **options: Any) -> Any:
    """Call a route as an admin; return the document of its response."""
    response = await operated.http.request(method, f"{ADMIN}{path}", headers=operated.headers(), **options)
    assert response.status_code == status, response.text
    assert response.headers["cache-control"] == "no-store" or status >= 400
    return response.json()


async def test_an_app_from_its_creation_to_its_suspension(operated: Operated, app: BuilderApp) -> None:
    made = await call(operated, "POST", "/apps", 201, json={"name": "Acme", "plan": "free"})
    path = f"/apps/{made['client_id']}"
    assert made.pop("client_secret").startswith("tgs_")
    assert await call(operated, "GET", path) == made
    changed = await call(operated, "PATCH", path, json={"plan": "standard", "tier": "premium"})
    assert (changed["plan"], changed["tier"]) == ("standard", "premium")
    assert (await call(operated, "PATCH", path, json={"tier": ""}))["tier"] is None
    key = (await call(operated, "POST", f"{path}/keys", 201, json={"name": "k"}))["key"]
    job = {"model_id": "stabilityai/sdxl-turbo", "prompt": "x", "width": 64, "height": 64}
    assert (await app.http.post("/text-to-image", json=job, headers=bearer(key))).status_code == 200
    assert (await call(operated, "POST", f"{path}/suspend"))["status"] == "suspended"
    refused = await app.http.post("/text-to-image", json=job, headers=bearer(key))
    assert refused.json()["code"] == "app_suspended"
    assert (await call(operated, "POST", f"{path}/resume"))["status"] == "active"
    assert (await app.http.post("/text-to-image", json=job, headers=bearer(key))).status_code == 200


async def test_a_rotated_secret_ends_the_old_one(operated: Operated, app: BuilderApp) -> None:
    assert (await app.http.get(f"{app.path}/users", auth=app.basic)).status_code == 200
    new = await call(operated, "POST", f"/apps/{app.client_id}/secret")
    assert (await app.http.get(f"{app.path}/users", auth=app.basic)).status_code == 401
    renewed = BuilderApp(app.client_id, new["client_secret"], app.http)
    assert (await app.http.get(f"{app.path}/users", auth=renewed.basic)).status_code == 200


async def test_keys_rotate_and_end(operated: Operated, app: BuilderApp) -> None:
    path = f"/apps/{app.client_id}/keys"
    made = await call(operated, "POST", path, 201, json={"name": "ci", "workloads": ["llm"]})
    rotated = await call(operated, "POST", f"/keys/{made['key_id']}/rotate", 201, json={"overlap_seconds": 60})
    assert (rotated["replaces"], rotated["workloads"]) == (made["key_id"], ["llm"])
    again = await call(operated, "POST", f"/keys/{made['key_id']}/rotate", 409)
    assert again["code"] == "key_ended"
    assert (await call(operated, "DELETE", f"/keys/{rotated['key_id']}"))["status"] == "revoked"
    listed = await call(operated, "GET", path)
    assert {each["key_id"] for each in listed["items"]} == {made["key_id"], rotated["key_id"]}
    assert made["key"] not in str(listed)


async def test_a_deactivated_user_loses_its_keys_for_good(operated: Operated, app: BuilderApp) -> None:
    path = f"/apps/{app.client_id}/users"
    made = await call(operated, "POST", path, 201, json={"external_id": "ann@x", "email": "ann@x.example"})
    assert (await call(operated, "POST", path, json={"external_id": "ann@x"}))["created"] is False
    key = await call(operated, "POST", f"/apps/{app.client_id}/keys", 201, json={"user": made["user_id"]})
    for status, shown in (("suspended", "suspended"), ("active", "active"), ("inactive", "suspended")):
        changed = await call(operated, "PUT", f"{path}/ann@x/status", json={"status": status})
        assert changed["status"] == shown
    await call(operated, "PUT", f"{path}/{made['user_id']}/status", json={"status": "active"})
    [still] = (await call(operated, "GET", f"/apps/{app.client_id}/keys"))["items"]
    assert (still["key_id"], still["status"]) == (key["key_id"], "revoked")


async def test_pages_name_each_record_once(operated: Operated, app: BuilderApp) -> None:
    for number in range(7):
        await app.user(f"user {number}")
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await call(operated, "GET", f"/apps/{app.client_id}/users", params={"limit": 3, "after": after})
        found += [each["user_id"] for each in page["items"]]
        after = page["next"]
    assert len(found) == len(set(found)) == 7
    apps = await call(operated, "GET", "/apps", params={"limit": 1})
    assert len(apps["items"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/apps", {"name": "x", "plan": "none"}, 400, "invalid_parameter"),
        ("POST", "/apps", {"name": "", "plan": "free"}, 400, "invalid_parameter"),
        ("PATCH", f"/apps/app_{'a' * 16}", {"plan": "free"}, 404, "unknown_id"),
        ("PATCH", f"/apps/app_{'a' * 16}", {"tier": "none"}, 400, "invalid_parameter"),
        ("POST", f"/apps/app_{'a' * 16}/keys", {}, 404, "unknown_id"),
        ("DELETE", f"/keys/{'a' * 16}", None, 404, "unknown_id"),
        ("GET", "/apps/tgk_x", None, 400, "invalid_parameter"),
        ("POST", "/operators", {"name": "x", "role": "root"}, 400, "invalid_parameter"),
        ("GET", "/none", None, 404, "not_found"),
    ],
)
async def test_what_cannot_be_done_is_said(
    operated: Operated, method: str, path: str, body: Any, status: int, code: str
) -> None:
    found = await call(operated, method, path, status, **({} if body is None else {"json": body}))
    assert found["code"] == code


async def test_operators_are_listed_without_their_keys(operated: Operated) -> None:
    listed = await call(operated, "GET", "/operators")
    assert {each["role"] for each in listed["items"]} == set(Role)
    assert not any(key[22:60] in str(listed) for key in operated.keys.values())
