"""Developers, members, invitations, orchestrators, the audit log and subjects over the admin API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.api.admin.people_documents import LONGEST_INVITE_SECONDS
from tests.api.admin.conftest import ADMIN, Operated
from tests.api.admin.test_records import call
from tests.support.builder import BuilderApp
from tests.support.wallet import Wallet

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def actions(operated: Operated, **params: Any) -> list[tuple[str, str, str | None]]:
    """Return action, result and code of the newest audit lines, oldest first."""
    found = await call(operated, "GET", "/audit", params=params)
    return [(each["action"], each["result"], each["code"]) for each in reversed(found["items"])]


async def test_a_developer_becomes_a_member_and_ends(operated: Operated, app: BuilderApp) -> None:
    wallet = Wallet().address
    made = await call(operated, "POST", "/developers", 201, json={"wallet": wallet})
    again = await call(operated, "POST", "/developers", 200, json={"wallet": wallet.lower()})
    assert again == made | {"created": False}
    broken = wallet[:2] + wallet[2:].swapcase()
    assert (await call(operated, "POST", "/developers", 400, json={"wallet": broken}))["code"] == "invalid_parameter"
    developer = made["developer_id"]
    listed = await call(operated, "GET", "/developers", params={"limit": "1000"})
    assert developer in [each["developer_id"] for each in listed["items"]]
    for act, status in (("suspend", "suspended"), ("resume", "active"), ("approve", "active")):
        assert (await call(operated, "POST", f"/developers/{developer}/{act}"))["status"] == status
    member = f"/apps/{app.client_id}/members/{developer}"
    for role in ("viewer", "owner"):
        assert (await call(operated, "PUT", member, json={"role": role}))["role"] == role
    [found] = (await call(operated, "GET", f"/apps/{app.client_id}/members"))["items"]
    assert (found["developer_id"], found["role"]) == (developer, "owner")
    assert (await call(operated, "DELETE", member))["removed"] is True
    assert (await call(operated, "DELETE", member, 404))["code"] == "unknown_id"
    assert await actions(operated, client_id=app.client_id, action="member") == [
        ("member.add", "done", None),
        ("member.add", "done", None),
        ("member.remove", "done", None),
        ("member.remove", "refused", "unknown_id"),
    ]


async def test_a_developer_has_one_identity_at_most(operated: Operated) -> None:
    made = await call(operated, "POST", "/developers", 201, json={"email": "eve@x.example"})
    assert (made["wallet"], made["issuer"], made["subject"]) == (None, None, None)
    assert await call(operated, "POST", "/developers", 200, json={"email": "Eve@x.example"}) == made | {
        "created": False
    }
    for body in ({}, {"wallet": Wallet().address, "subject": "s"}, {"subject": "s"}):
        assert (await call(operated, "POST", "/developers", 400, json=body))["code"] == "invalid_parameter"


async def test_a_link_to_the_portal_is_for_a_developer_who_may_sign_in(operated: Operated) -> None:
    made = await call(operated, "POST", "/developers", 201, json={"wallet": Wallet().address})
    developer = made["developer_id"]
    path = f"/developers/{developer}/portal-link"
    link = await call(operated, "POST", path, 201)
    assert (link["developer_id"], "/portal/sign-in/tgl_" in link["url"]) == (developer, True)
    assert link["link_id"] == link["url"].split("_")[1]
    await call(operated, "POST", f"/developers/{developer}/suspend")
    assert (await call(operated, "POST", path, 409))["code"] == "developer_inactive"
    assert (await call(operated, "POST", f"/developers/dev_{'a' * 16}/portal-link", 404))["code"] == "unknown_id"
    assert (await actions(operated, action="developer.portal_link"))[-3:] == [
        ("developer.portal_link", "done", None),
        ("developer.portal_link", "refused", "developer_inactive"),
        ("developer.portal_link", "refused", "unknown_id"),
    ]


async def test_a_link_to_the_portal_is_for_an_operator_who_is_not_revoked(operated: Operated) -> None:
    made = await call(operated, "POST", "/operators", 201, json={"name": "Zoe", "role": "viewer"})
    operator = made["operator_id"]
    path = f"/operators/{operator}/portal-link"
    link = await call(operated, "POST", path, 201)
    assert (link["operator_id"], "/portal/operator/sign-in/tgl_" in link["url"]) == (operator, True)
    await call(operated, "DELETE", f"/operators/{operator}")
    assert (await call(operated, "POST", path, 409))["code"] == "operator_revoked"
    assert (await call(operated, "POST", f"/operators/{'a' * 16}/portal-link", 404))["code"] == "unknown_id"
    assert (await actions(operated, action="operator.portal_link"))[-3:] == [
        ("operator.portal_link", "done", None),
        ("operator.portal_link", "refused", "operator_revoked"),
        ("operator.portal_link", "refused", "unknown_id"),
    ]


async def test_a_gateway_is_drained_and_resumed(operated: Operated) -> None:
    [found] = (await call(operated, "GET", "/gateways"))["items"]
    gateway = {"gateway": found["gateway"]}
    assert (found["pools"], found["drained"]) == (["default"], False)
    for changed in (True, False):
        drained = await call(operated, "POST", "/gateways/drain", json=gateway)
        assert (drained["drained"], drained["changed"]) == (True, changed)
    assert (await call(operated, "GET", "/gateways"))["items"][0]["drained_since"] == drained["drained_since"]
    for changed in (True, False):
        resumed = await call(operated, "POST", "/gateways/resume", json=gateway)
        assert (resumed["drained"], resumed["changed"]) == (False, changed)
    for act in ("drain", "resume"):
        unknown = await call(operated, "POST", f"/gateways/{act}", 404, json={"gateway": "http://192.0.2.1:1"})
        assert unknown["code"] == "unknown_id"


async def test_an_invitation_is_shown_once_listed_and_revoked(operated: Operated, app: BuilderApp) -> None:
    path = f"/apps/{app.client_id}/invites"
    for wrong in (0, LONGEST_INVITE_SECONDS + 1):
        await call(operated, "POST", path, 400, json={"role": "owner", "expires_in_seconds": wrong})
    made = await call(operated, "POST", path, 201, json={"role": "owner"})
    assert made.pop("code").startswith("tgi_")
    assert made in (await call(operated, "GET", "/invites"))["items"]
    assert (await call(operated, "DELETE", f"/invites/{made['invite_id']}"))["revoked"] is True
    assert (await call(operated, "DELETE", f"/invites/{made['invite_id']}", 404))["code"] == "unknown_id"


async def test_a_key_and_an_identity_provider_are_changed(operated: Operated, app: BuilderApp) -> None:
    made = await call(operated, "POST", f"/apps/{app.client_id}/keys", 201, json={"limits": {"concurrent": 1}})
    path = f"/keys/{made['key_id']}"
    changed = await call(operated, "PATCH", path, json={"name": "k", "limits": {"concurrent": 3}})
    assert (changed["name"], changed["limits"]) == ("k", {"concurrent": 3})
    assert await call(operated, "GET", path) == changed
    raised = {"increase": {"spend_total": "5", "until": "2999-01-01T00:00:00Z"}}
    assert "no spend_total of its own" in (await call(operated, "PATCH", path, 400, json=raised))["detail"]
    await call(operated, "DELETE", path)
    assert (await call(operated, "PATCH", path, 409, json={"name": "x"}))["code"] == "key_ended"
    issuer = f"/apps/{app.client_id}/issuer"
    given = {"issuer": "https://login.example", "audience": "tollgate"}
    assert (await call(operated, "PUT", issuer, json=given))["issuer"] == given["issuer"]
    for wrong in ({"issuer": "login"}, {"jwks_url": "http://login.example/keys"}, {"audience": ""}):
        await call(operated, "PUT", issuer, 400, json=given | wrong)
    assert (await call(operated, "DELETE", issuer))["issuer"] is None


async def test_an_orchestrator_is_blocked_and_listed_again(operated: Operated) -> None:
    body = {"address": "https://Orch.example"}
    blocked = await call(operated, "POST", "/orchestrators/block", json=body)
    assert blocked == {"address": "https://orch.example:443", "blocked": True, "changed": True}
    assert blocked["address"] in (await call(operated, "GET", "/orchestrators"))["items"]
    assert (await call(operated, "POST", "/orchestrators/unblock", json=body))["changed"] is True
    assert (await call(operated, "POST", "/orchestrators/unblock", json=body))["changed"] is False
    await call(operated, "POST", "/orchestrators/block", 400, json={"address": "orch"})


async def test_audit_lines_are_read_by_page_and_verified(operated: Operated, app: BuilderApp) -> None:
    for act in ("suspend", "resume", "suspend", "resume"):
        await call(operated, "POST", f"/apps/{app.client_id}/{act}")
    await call(operated, "PATCH", f"/apps/{app.client_id}", 400, json={"plan": "none of these"})
    pages, before = [], ""
    while before is not None:
        params = {"client_id": app.client_id, "limit": "2", "before": before}
        page = await call(operated, "GET", "/audit", params=params)
        pages.append([each["action"] for each in page["items"]])
        before = page["next"]
    assert pages[:2] == [["app.change", "app.resume"], ["app.suspend", "app.resume"]]
    assert len({each["id"] for each in (await call(operated, "GET", "/audit"))["items"]}) > 5
    await call(operated, "GET", "/audit", 400, params={"before": "x"})
    verified = await call(operated, "GET", "/audit/verify")
    assert verified["findings"] == []
    assert (await call(operated, "GET", "/audit/verify", params={"head": f"9999999:{'a' * 64}"}))["findings"] != []
    await call(operated, "GET", "/audit/verify", 400, params={"head": "4"})


async def test_what_cannot_be_used_is_one_line_of_the_audit_log(operated: Operated, app: BuilderApp) -> None:
    """Hazard: an attempt to change something that leaves no trace, because no operation began."""
    before = len(await actions(operated, action="route.call", limit=1_000))
    await call(operated, "POST", f"/apps/{app.client_id}/credits/grant", 400, json={"amount": "-1"})
    found = await actions(operated, action="route.call", limit=1_000)
    assert len(found) == before + 1
    assert found[-1] == ("route.call", "refused", "invalid_parameter")


async def test_a_subject_is_exported_line_by_line_and_erased(operated: Operated, app: BuilderApp) -> None:
    user = await app.user("ann", email="ann@a.example")
    await call(operated, "POST", f"/apps/{app.client_id}/keys", 201, json={"user": user, "name": "ann's laptop"})
    path = f"/apps/{app.client_id}"
    url = f"{ADMIN}{path}/subject"
    response = await operated.http.get(url, params={"user": "ann"}, headers=operated.headers())
    lines = response.json()["lines"]
    assert [each["kind"] for each in lines[:3]] == ["app", "user", "key"]
    assert [json.loads(each.removesuffix(",")) for each in response.text.splitlines()[1:-1]] == lines
    assert response.headers["cache-control"] == "no-store"
    assert "secret_hash" not in response.text
    for wrong in ({"user": "ann"}, {"user": "ann", "irreversible": False}):
        await call(operated, "POST", f"{path}/erase", 400, json=wrong)
    done = await call(operated, "POST", f"{path}/erase", json={"user": "ann", "irreversible": True})
    assert (done["user"], done["audit_lines"] > 0) == (user, True)
    assert (await call(operated, "POST", f"{path}/erase", 404, json={"user": "ann", "irreversible": True}))["code"]
    assert "ann" not in (await operated.http.get(url, headers=operated.headers())).text
    assert await actions(operated, client_id=app.client_id, action="history") == [
        ("history.export", "done", None),
        ("history.erase", "done", None),
        ("history.erase", "refused", "unknown_id"),
        ("history.export", "done", None),
    ]
