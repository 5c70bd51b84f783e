"""Users and their keys over HTTP. Hazards: two users of one external id, lost pages, bodies taken on trust."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.builder import BuilderApp, bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_simultaneous_creations_make_one_user(app: BuilderApp) -> None:
    async def create() -> tuple[int, str]:
        response = await app.http.post(f"{app.path}/users", json={"externalUserId": "ann"}, auth=app.basic)
        return response.status_code, response.json()["user_id"]

    found = await asyncio.gather(*(create() for _ in range(20)))
    assert len({user_id for _, user_id in found}) == 1
    assert sorted(status for status, _ in found) == [200] * 19 + [201]


async def test_both_spellings_are_returned(app: BuilderApp) -> None:
    await app.user("ann", email="a@x.example")
    for name in ("ann", await app.user("ann")):
        user = (await app.http.get(f"{app.path}/users/{name}", auth=app.basic)).json()
        assert user["id"] == user["user_id"]
        assert user["externalUserId"] == user["external_id"] == "ann"
        assert (user["clientId"], user["email"], user["status"]) == (app.client_id, "a@x.example", "active")
        assert datetime.fromisoformat(user["createdAt"]).tzinfo is not None


async def test_nobody_is_named_by_the_user_id_of_another(app: BuilderApp, running: Deployment) -> None:
    """Hazard: an app lets people choose names, and one who has chosen another's user id gets that one's token."""
    victim = await app.user("ann")
    response = await app.http.post(f"{app.path}/users", json={"external_id": victim}, auth=app.basic)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert response.json()["detail"] == "The external id is the user id of a user of this app; choose another."
    code, _, err = await running.cli("users", "create", "--app", app.client_id, "--external-id", victim)
    assert (code, "choose another" in err, "Traceback" in err) == (2, True, False), err
    free = "usr_aaaaaaaaaaaaaaaa"
    assert await app.user(free) == await app.user(free)


async def test_pages_hold_every_user_once(app: BuilderApp) -> None:
    ids = {await app.user(f"user {number}") for number in range(7)}
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await app.http.get(f"{app.path}/users", params={"limit": 3, "after": after}, auth=app.basic)).json()
        assert len(page["users"]) <= 3
        seen += [user["user_id"] for user in page["users"]]
        after = page["next"]
    assert (len(seen), set(seen)) == (7, ids)


async def test_a_suspended_user_is_found_again_as_it_is(app: BuilderApp) -> None:
    await app.user("ann")
    await app.http.delete(f"{app.path}/users/ann", auth=app.basic)
    again = await app.http.post(f"{app.path}/users", json={"external_id": "ann"}, auth=app.basic)
    assert (again.status_code, again.json()["status"]) == (200, "suspended")
    key = await app.http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)
    assert (key.status_code, key.json()["code"]) == (403, "user_suspended")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"external_id": ""},
        {"external_id": None},
        {"external_id": 1},
        {"external_id": "a" * 256},
        {"external_id": "a\nb"},
        {"external_id": "a\u202eb"},
        {"external_id": "ann", "externalUserId": "bob"},
        {"external_id": "ann", "email": "no address"},
        {"external_id": "ann", "status": "deleted"},
        [],
        "ann",
        None,
    ],
)
async def test_a_body_that_names_no_user_is_a_problem_that_says_where(app: BuilderApp, body: Any) -> None:
    response = await app.http.post(f"{app.path}/users", json=body, auth=app.basic)
    document = response.json()
    assert (response.status_code, document["code"]) == (400, "invalid_parameter")
    assert response.headers["content-type"] == "application/problem+json"
    assert all(each["place"].startswith("body") and each["message"] for each in document["errors"])
    assert (await app.http.get(f"{app.path}/users", auth=app.basic)).json()["users"] == []


@pytest.mark.parametrize("body", [b"{", b'{"external_id": "a"', b"\xff", b'{"external_id":"\\ud800"}'])
async def test_a_body_that_is_no_json_is_a_400(app: BuilderApp, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await app.http.post(f"{app.path}/users", content=body, headers=headers, auth=app.basic)
    assert response.status_code == 400
    assert response.json()["code"] in ("malformed_json", "malformed_request", "invalid_parameter")


async def test_a_users_key_is_shown_once_narrowed_and_ends(app: BuilderApp) -> None:
    user = await app.user("ann")
    path = f"{app.path}/users/ann/keys"
    ends = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"name": "laptop", "expires_at": ends, "workloads": ["text-to-image"], "models": ["m"]}
    made = await app.http.post(path, json=body, auth=app.basic)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    created = made.json()
    [listed] = (await app.http.get(path, auth=app.basic)).json()["keys"]
    assert listed == {name: value for name, value in created.items() if name != "key"}
    assert (listed["user_id"], listed["name"], listed["models"]) == (user, "laptop", ["m"])

    async def use(model: str) -> int:
        body = {"model_id": model, "prompt": "p"}
        return (await app.http.post("/text-to-image", json=body, headers=bearer(created["key"]))).status_code

    assert [await use("m"), await use("n")] == [200, 403]
    ended = await app.http.delete(f"{path}/{created['key_id']}", auth=app.basic)
    assert ended.json()["status"] == "revoked"
    await app.user("bob")
    foreign = await app.http.delete(f"{app.path}/users/bob/keys/{created['key_id']}", auth=app.basic)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_id")


@pytest.mark.parametrize(
    "body",
    [
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00"},
        {"expires_at": "soon"},
        {"workloads": ["everything"]},
        {"cidrs": ["10.0.0.1/8"]},
        {"models": [""]},
        {"name": "a" * 101},
    ],
)
async def test_a_key_that_cannot_be_meant_is_not_made(app: BuilderApp, body: dict[str, Any]) -> None:
    await app.user("ann")
    response = await app.http.post(f"{app.path}/users/ann/keys", json=body, auth=app.basic)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert (await app.http.get(f"{app.path}/users/ann/keys", auth=app.basic)).json()["keys"] == []


async def test_credentials_that_contradict_each_other_are_none(app: BuilderApp, running: Deployment) -> None:
    key = await running.key(app.client_id)
    both = await app.http.get(f"{app.path}/users", auth=app.basic, headers={"x-api-key": key})
    assert both.status_code == 401
    none = await app.http.get(f"{app.path}/users")
    assert (none.status_code, none.json()["code"]) == (401, "missing_credentials")
    assert none.headers["www-authenticate"].startswith("Bearer")
