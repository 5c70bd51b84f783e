"""Keys over HTTP: created with limits of their own, changed while they work, listed with what they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
LIMITS = {"requests_per_minute": 50, "spend_total": str(10**27)}


async def made(app: BuilderApp, path: str, **members: Any) -> dict[str, Any]:
    response = await app.http.post(f"{app.path}/{path}", json=members, auth=app.basic)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("owner", ["app", "user"])
async def test_a_key_is_created_changed_listed_and_revoked(app: BuilderApp, owner: str) -> None:
    user = await app.user("ann")
    path = "keys" if owner == "app" else "users/ann/keys"
    increase = {"requests_per_minute": 500, "until": TOMORROW}
    key = await made(
        app,
        path,
        description="the kiosk",
        limits=LIMITS,
        increase=increase,
        origins=["https://a.example"],
        streams=["cam"],
    )
    assert key["limits"] == {**dict.fromkeys(("concurrent", "spend_per_day", "spend_per_month")), **LIMITS}
    assert (key["increase"]["requests_per_minute"], key["increase"]["spend_total"]) == (500, None)
    assert (key["origins"], key["streams"], key["description"]) == (["https://a.example"], ["cam"], "the kiosk")
    assert (key["user_id"], key["rotation_due"], key["last_used_at"]) == (
        user if owner == "user" else None,
        False,
        None,
    )
    one = f"{app.path}/{path}/{key['key_id']}"
    change: dict[str, Any] = {"limits": {"spend_total": None, "concurrent": 2}, "increase": None, "origins": []}
    changed = await app.http.patch(one, json=change, auth=app.basic)
    assert changed.status_code == 200, changed.text
    assert changed.json()["limits"] == {
        **dict.fromkeys(("spend_total", "spend_per_day", "spend_per_month")),
        "requests_per_minute": 50,
        "concurrent": 2,
    }
    assert (changed.json()["increase"], changed.json()["origins"], changed.json()["streams"]) == (None, None, ["cam"])
    listed = (await app.http.get(f"{app.path}/{path}", auth=app.basic)).json()["keys"]
    assert listed == [changed.json()]
    assert (await app.http.patch(one, json={"limits": None}, auth=app.basic)).json()["limits"] is None
    assert (await app.http.delete(one, auth=app.basic)).json()["status"] == "revoked"
    ended = await app.http.patch(one, json={"name": "late"}, auth=app.basic)
    assert (ended.status_code, ended.json()["code"]) == (409, "key_ended")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"limits": {"concurrent": 0}}, "concurrent"),
        ({"limits": {"spend_total": 5}}, "spend_total"),
        ({"limits": {"spend_total": "1e18"}}, "spend_total"),
        ({"limits": {"spend_total": str(10**27 + 1)}}, "spend_total"),
        ({"origins": ["*"]}, "one origin"),
        ({"origins": ["https://a.example/page"]}, "origin as browsers send it"),
        ({"streams": ["a/b"]}, "streams"),
        ({"increase": {"until": TOMORROW}}, "at least one limit"),
        ({"increase": {"concurrent": 5, "until": "2020-01-01T00:00:00Z"}}, "future"),
        ({"increase": {"concurrent": 5, "until": TOMORROW}}, "no concurrent of its own"),
        ({"limits": {"concurrent": 5}, "increase": {"concurrent": 5, "until": TOMORROW}}, "above the usual"),
    ],
)
async def test_what_cannot_be_meant_is_400_and_changes_nothing(
    app: BuilderApp, body: dict[str, Any], names: str
) -> None:
    key = await made(app, "keys")
    before = (await app.http.get(f"{app.path}/keys", auth=app.basic)).json()
    for response in (
        await app.http.post(f"{app.path}/keys", json=body, auth=app.basic),
        await app.http.patch(f"{app.path}/keys/{key['key_id']}", json=body, auth=app.basic),
    ):
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter"), response.text
        assert names in response.text
    assert (await app.http.get(f"{app.path}/keys", auth=app.basic)).json() == before


async def test_a_user_key_is_no_key_of_another_user(app: BuilderApp) -> None:
    await app.user("ann")
    await app.user("bob")
    key = await made(app, "users/ann/keys")
    response = await app.http.patch(f"{app.path}/users/bob/keys/{key['key_id']}", json={"name": "x"}, auth=app.basic)
    assert (response.status_code, response.json()["code"]) == (404, "unknown_id")
    renamed = await app.http.patch(f"{app.path}/keys/{key['key_id']}", json={"name": "x"}, auth=app.basic)
    assert (renamed.status_code, renamed.json()["user_id"]) == (200, key["user_id"]), "it is the app's, too"


async def test_an_increase_that_is_changed_over_http_holds_at_once(running: Deployment, app: BuilderApp) -> None:
    key = await made(app, "keys", limits={"requests_per_minute": 1})
    headers = {**bearer(key["key"]), "x-mock-gateway": "bytes=2"}
    first, second = [await app.http.get("/stream/a.ts", headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["policy"] == "key-own-requests-per-minute"
    increase = {"requests_per_minute": 5, "until": TOMORROW}
    one = f"{app.path}/keys/{key['key_id']}"
    assert (await app.http.patch(one, json={"increase": increase}, auth=app.basic)).status_code == 200

    raised = await app.http.get("/stream/a.ts", headers=headers)
    while raised.status_code == 429:  # until the notice is at every worker
        raised = await app.http.get("/stream/a.ts", headers=headers)
    assert 'key-own-requests-per-minute";q=5;w=60' in raised.headers["ratelimit-policy"]


async def test_true_is_no_number(app: BuilderApp) -> None:
    """Hazard: an overlap of one second, or a limit of one request, of a client that has sent a truth."""
    old = await made(app, "keys", name="kiosk")
    rotate = f"{app.path}/keys/{old['key_id']}/rotate"
    refused = await app.http.post(rotate, json={"overlap_seconds": True}, auth=app.basic)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
    assert "overlap_seconds" in refused.json()["detail"]
    limits = {"requests_per_minute": True}
    refused = await app.http.post(f"{app.path}/keys", json={"limits": limits}, auth=app.basic)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("owner", ["app", "user"])
async def test_a_rotated_key_shows_its_text_once_and_the_old_one_works_as_long_as_it_overlaps(
    app: BuilderApp, owner: str
) -> None:
    """Hazard: a rotation that ends the old key early or never, or whose text can be read again."""
    await app.user("ann")
    path = "keys" if owner == "app" else "users/ann/keys"
    old = await made(app, path, name="kiosk", limits=LIMITS, streams=["cam"])
    rotate = f"{app.path}/{path}/{old['key_id']}/rotate"
    response = await app.http.post(rotate, json={"overlap_seconds": 600, "expires_at": TOMORROW}, auth=app.basic)
    assert response.status_code == 201, response.text
    new = response.json()
    ends = datetime.fromisoformat(new["replaced_key_ends_at"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < ends <= timedelta(minutes=10)
    assert (new["replaces"], new["user_id"], new["limits"]) == (old["key_id"], old["user_id"], old["limits"])
    assert datetime.fromisoformat(new["expires_at"]) == datetime.fromisoformat(TOMORROW)
    for key in (old, new):
        assert (await app.http.get("/api/v1/user/usage", headers=bearer(key["key"]))).status_code == (
            200 if owner == "user" else 403
        ), "both work, and a key of the app is no user's"
    listing = await app.http.get(f"{app.path}/{path}", auth=app.basic)
    assert [each["replaced_by"] for each in listing.json()["keys"]] == [new["key_id"], None]
    assert new["key"] not in listing.text
    again = await app.http.post(rotate, json={}, auth=app.basic)
    assert (again.status_code, again.json()["code"]) == (409, "key_ended")
    last = await app.http.post(f"{app.path}/{path}/{new['key_id']}/rotate", json={"overlap_seconds": 0}, auth=app.basic)
    assert last.status_code == 201, last.text
    while (await app.http.get("/stream/a.ts", headers=bearer(new["key"]))).status_code != 401:
        pass  # until the notice is at every worker
    lines = (await app.http.get(f"{app.path}/audit", auth=app.basic)).json()["lines"]
    rotations = [each for each in lines if each["action"] == "key.rotate"]
    assert [(each["result"], each["target"]) for each in reversed(rotations)] == [
        ("done", old["key_id"]),
        ("refused", old["key_id"]),
        ("done", new["key_id"]),
    ]
    assert rotations[-1]["detail"]["new_key"] == new["key_id"]


async def test_a_key_of_another_app_or_a_suspended_user_is_not_rotated(app: BuilderApp, running: Deployment) -> None:
    """Hazard: a new key for somebody who should have none."""
    other = await builder_app(running, app.http)
    await app.user("ann")
    key = await made(app, "users/ann/keys")
    foreign = await app.http.post(f"{other.path}/keys/{key['key_id']}/rotate", json={}, auth=other.basic)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_id")
    await app.http.patch(f"{app.path}/users/ann", json={"status": "suspended"}, auth=app.basic)
    refused = await app.http.post(f"{app.path}/users/ann/keys/{key['key_id']}/rotate", json={}, auth=app.basic)
    assert (refused.status_code, refused.json()["code"]) == (403, "user_suspended")
    [listed] = (await app.http.get(f"{app.path}/keys", auth=app.basic)).json()["keys"]
    assert listed["replaced_by"] is None


@pytest.mark.ci
async def test_the_end_of_a_key_is_set_moved_and_removed(app: BuilderApp) -> None:
    """Hazard: an end that listings show and no worker keeps, or that a key cannot lose again."""
    key = await made(app, "keys")
    one, audit = f"{app.path}/keys/{key['key_id']}", f"{app.path}/audit"
    assert key["expires_at"] is None

    async def end(moment: str | None) -> Any:
        response = await app.http.patch(one, json={"expires_at": moment}, auth=app.basic)
        assert response.status_code == 200, response.text
        return response.json()["expires_at"]

    assert datetime.fromisoformat(await end(TOMORROW)) == datetime.fromisoformat(TOMORROW)
    named = await app.http.patch(one, json={"name": "kiosk"}, auth=app.basic)
    assert named.json()["expires_at"] is not None, "what is left out stays"
    assert await end(None) is None
    for past in ("2020-01-01T00:00:00Z", "2030-01-01T00:00:00"):
        response = await app.http.patch(one, json={"expires_at": past}, auth=app.basic)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    lines = (await app.http.get(audit, auth=app.basic)).json()["lines"]
    assert [each["detail"].get("expires_at") for each in lines if each["result"] == "done"][:3] == [
        "never",
        None,
        str(datetime.fromisoformat(TOMORROW)),
    ]
    soon = datetime.now(UTC) + timedelta(seconds=1)
    await end(soon.isoformat())
    while (await app.http.get("/stream/a.ts", headers=bearer(key["key"]))).status_code != 401:
        assert datetime.now(UTC) < soon + timedelta(seconds=20)


async def test_every_act_on_keys_has_an_audit_line(app: BuilderApp) -> None:
    key = await made(app, "keys", name="kiosk")
    one = f"{app.path}/keys/{key['key_id']}"
    await app.http.patch(one, json={"limits": {"spend_total": "7"}}, auth=app.basic)
    await app.http.patch(one, json={"streams": ["a/b"]}, auth=app.basic)
    await app.http.delete(one, auth=app.basic)
    lines = (await app.http.get(f"{app.path}/audit", auth=app.basic)).json()["lines"]
    ours = [(each["action"], each["result"], each["target"]) for each in lines if each["action"].startswith("key.")]
    assert sorted(ours) == sorted(
        [
            ("key.create", "done", key["key_id"]),
            ("key.change", "done", key["key_id"]),
            ("key.change", "refused", ""),
            ("key.revoke", "done", key["key_id"]),
        ]
    )
    [change] = [each for each in lines if (each["action"], each["result"]) == ("key.change", "done")]
    assert change["detail"]["spend_total"] == "7"
