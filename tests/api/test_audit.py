"""Whatever changes something over HTTP writes an audit line, and an app reads its own lines, no other's."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.api.audit.route import ACTION
from proxy.api.builder import BuilderAPI, builder_application
from tests.api.test_every_route import SERVICES, any_of_user, body_of, operations
from tests.api.waiting_webhook import paused_webhook, waiting_for
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment
from tests.support.wallet import NONCE

pytestmark = pytest.mark.asyncio(loop_scope="package")
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
CANARY = "tgk_canarycanarycana_Sing0Sing0Sing0Sing0Sing0Sing0Sing0Sing000000"


async def lines(app: BuilderApp, **params: Any) -> list[dict[str, Any]]:
    """Return the audit lines of an app, newest first."""
    response = await app.http.get(f"{app.path}/audit", params=params, auth=app.basic)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["lines"]
    return found


def unaudited(schema: dict[str, Any]) -> list[str]:
    """Return the operations that change something and name no action."""
    changing = [(method, path, each) for method, path, each in operations(schema) if method in CHANGES]
    return [f"{method} {path}" for method, path, each in changing if ACTION not in each and path != NONCE]


@pytest.mark.ci
async def test_every_route_that_changes_something_writes_one_line(app: BuilderApp, running: Deployment) -> None:
    """Hazard: a new route that changes records and leaves no trace."""
    schema = (await app.http.get("/api/v1/openapi.json")).json()
    assert unaudited(schema) == []
    await app.user("ann")
    tried = 0
    for method, path, operation in operations(schema):
        if method not in CHANGES or "{client_id}" not in path:
            continue
        user = await app.user(f"user {tried}")
        key = (await app.http.post(f"{app.path}/users/{user}/keys", json={}, auth=app.basic)).json()["key_id"]
        webhook = (await paused_webhook(app))["webhook_id"] if "{webhook_id}" in path else ""
        delivery = await waiting_for(running, webhook) if "{delivery_id}" in path else ""
        link = await app.portal_link(user) if "{link_id}" in path else ""
        ids = {"user": user, "key_id": key, "webhook_id": webhook, "delivery_id": delivery, "link_id": link}
        target = path.format(client_id=app.client_id, **ids)
        params = {"externalUserId": f"user {tried}"} if any_of_user(operation) else {}
        before = {each["id"] for each in await lines(app)}
        response = await app.http.request(
            method, target, params=params, json=body_of(schema, operation), auth=app.basic
        )
        [line] = [each for each in await lines(app) if each["id"] not in before]
        assert line["action"] == operation[ACTION], path
        if path.endswith("/checkout"):  # nothing is sold here; tests of payments have its line where something is
            assert (response.status_code, line["result"], line["code"]) == (404, "refused", "not_found")
            continue
        assert response.status_code in (200, 201), response.text
        assert (line["actor_kind"], line["actor"], line["result"]) == ("app", app.client_id, "done"), path
        assert line["address"] == "127.0.0.1"
        assert line["target"], path
        if webhook:
            assert line["target"] == webhook
        elif "{key_id}" in path:
            assert line["target"] == key
        elif "{user}" in path and line["target_kind"] == "user":
            assert line["target"] == user
        tried += 1
    assert tried >= 7


@pytest.mark.ci
async def test_a_route_that_changes_something_without_an_action_is_found() -> None:
    api: BuilderAPI = builder_application(SERVICES)

    async def change() -> dict[str, str]:
        return {}

    api.serve("DELETE", "/api/v1/everything", change)
    api.openapi_schema = None
    assert unaudited(api.openapi()) == ["DELETE /api/v1/everything"]


async def test_what_was_refused_is_in_the_log_with_its_code(running: Deployment, app: BuilderApp) -> None:
    other = await builder_app(running, app.http)
    user = await app.user("ann")
    reader = bearer(await app.token("read"))
    await app.http.post(f"{app.path}/users", json={"external_id": "bob"}, headers=reader)
    await app.http.delete(f"{other.path}/users/{user}", auth=app.basic)
    await app.http.delete(f"{app.path}/users/nobody", auth=app.basic)
    await app.http.delete(f"{app.path}/users/{user}/keys/{'a' * 16}", auth=app.basic)
    await app.http.patch(f"{app.path}/users/{user}", json={"email": "no address"}, auth=app.basic)
    await app.http.patch(f"{app.path}/users/{user}", json={"status": "suspended"}, auth=app.basic)
    await app.http.post(f"{app.path}/users/{user}/token", auth=app.basic)
    found = [(each["action"], each["target"], each["result"], each["code"]) for each in reversed(await lines(app))]
    assert found == [
        ("user.create", user, "done", None),
        ("user.create", "", "refused", "insufficient_scope"),
        ("user.deactivate", "", "refused", "unknown_id"),
        ("user.deactivate", "", "refused", "unknown_id"),
        ("key.revoke", "", "refused", "unknown_id"),
        ("user.change", "", "refused", "invalid_parameter"),
        ("user.change", user, "done", None),
        ("token.issue", user, "refused", "user_suspended"),
    ]
    assert await lines(other) == []


async def test_a_revoked_token_is_in_the_log(app: BuilderApp) -> None:
    token = await app.user_token(await app.user("ann"))
    for _ in range(2):  # the second time it is no token any more, and nothing is done
        assert (await app.form("/api/v1/oidc/token/revocation", token=token)).status_code == 200
    assert [each["action"] for each in await lines(app)] == ["token.revoke", "token.issue", "user.create"]


async def test_a_tenant_reads_its_own_lines_by_page(running: Deployment, app: BuilderApp) -> None:
    """Hazard (OWASP API1): the lines of another app, or of an operator by name."""
    other = await builder_app(running, app.http)
    for number in range(5):
        await app.user(f"user {number}")
        await other.user(f"user {number}")
    pages, before = [], ""
    while before is not None:
        params = {"limit": "2", "action": "user", **({"before": before} if before else {})}
        page = (await app.http.get(f"{app.path}/audit", params=params, headers=bearer(await app.token("read")))).json()
        pages.append(page["lines"])
        before = page["next"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({line["id"] for page in pages for line in page}) == 5
    assert {line["actor"] for page in pages for line in page} == {app.client_id}
    assert (await app.http.get(f"{other.path}/audit", auth=app.basic)).status_code == 404
    for wrong in ({"before": "1-2"}, {"before": "x-y-z"}, {"since": "2026-11-01T00:00:00"}, {"limit": "0"}):
        assert (await app.http.get(f"{app.path}/audit", params=wrong, auth=app.basic)).status_code == 400
    user = await app.user("user 0")
    assert (await app.http.get(f"{app.path}/audit", headers=bearer(await app.user_token(user)))).status_code == 403


async def test_secrets_are_in_no_audit_line(app: BuilderApp, running: Deployment) -> None:
    """Hazard: a secret that somebody puts in the place of a name, or that an act makes."""
    created = (await app.http.post(f"{app.path}/users", json={"external_id": CANARY}, auth=app.basic)).json()
    user = created["user_id"]
    secrets = [CANARY, app.secret, await app.token(), await app.user_token(user)]
    made = await app.http.post(f"{app.path}/users/{user}/keys", json={"name": app.secret}, auth=app.basic)
    secrets.append(made.json()["key"])
    for secret in secrets[:]:
        for path in (f"users/{secret}", f"users/{user}/keys/{secret}"):
            await app.http.delete(f"{app.path}/{path}", auth=app.basic)
        await app.http.post(f"{app.path}/users/{user}/keys", json={"name": secret[:90]}, auth=app.basic)
        await app.http.post(f"{app.path}/users/{user}/token", json={"scope": secret}, auth=app.basic)
        await app.form("/api/v1/oidc/token/revocation", token=secret)
    text = str(await lines(app, limit=1_000))
    assert text.count("'action'") > 15
    for secret in secrets:
        assert secret[25:60] not in text
