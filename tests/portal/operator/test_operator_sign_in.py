"""Operators come in by a link that is good once, are out when they are revoked, and are nobody to members' pages."""

from __future__ import annotations

import httpx
import pytest

from middlewares.auth.keys import pepper_of
from middlewares.auth.records import Role
from proxy.control.developers.session_store import last_use_of
from proxy.control.operators.operators import Operators
from proxy.control.operators.sessions import OperatorSessions
from tests.portal.browser import Browser, developer_of, new_browser, signed_in, text_of
from tests.portal.operator.conftest import HOME, House, operator_in, operator_link, operator_of, submit
from tests.support.builder import bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

COOKIE = "tollgate"


@pytest.mark.slow
async def test_the_command_makes_a_link_that_signs_an_operator_in_once(house: House) -> None:
    operator = await operator_of(house.deployment, Role.SUPPORT)
    code, shown, _ = await house.deployment.cli("portal", "link", "--operator", operator)
    assert code == 0
    [path] = [word.partition("/portal/")[2] for word in shown.split() if "/portal/operator/sign-in/tgl_" in word]
    browser = new_browser(house.deployment)
    assert "set-cookie" not in (await browser.page(f"/portal/{path}")).headers, "a look does not use it up"
    response = await browser.send(f"/portal/{path}", {})
    assert (response.status_code, response.headers["location"]) == (303, HOME)
    header = response.headers["set-cookie"]
    assert header.startswith("tollgate=tgp_")
    assert {each.strip().lower() for each in header.split(";")[1:]} == {"httponly", "path=/", "samesite=lax"}
    assert "a support" in text_of(await browser.page(HOME))
    assert (await new_browser(house.deployment).send(f"/portal/{path}", {})).status_code == 410
    assert await house.audit(action="operator.portal_sign_in", actor="a support") != []
    for arguments in ((), ("--operator", operator, "--developer", f"dev_{'a' * 16}"), ("--operator", "x")):
        assert (await house.deployment.cli("portal", "link", *arguments))[0] == 2


async def test_a_link_takes_no_form_of_another_page(house: House) -> None:
    path = await operator_link(house.deployment, house.operators[Role.VIEWER])
    browser = new_browser(house.deployment)
    for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        refused = await browser.send(path, {}, headers)
        assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)
    assert (await browser.send(path, {})).status_code == 303


async def test_a_revoked_operator_is_out_at_once(house: House) -> None:
    operator = await operator_of(house.deployment, Role.ADMIN, "leaving")
    browser, late = await operator_in(house.deployment, operator), await operator_link(house.deployment, operator)
    assert (await browser.get(HOME)).status_code == 200
    assert (await submit(browser, f"{HOME}/tenants/{house.tenant.app}/look")).status_code in (303, 404)
    async with house.deployment.store() as store:
        await Operators(store.redis, pepper_of(house.deployment.settings.auth)).revoke(operator)
    for path in (HOME, f"{HOME}/sessions", house.tenant.path):
        assert (await browser.get(path)).headers["location"] == "/portal/sign-in", path
    assert (await browser.send(f"{HOME}/sign-out", {})).status_code == 401
    assert (await new_browser(house.deployment).send(late, {})).status_code == 403
    assert (await house.deployment.cli("portal", "link", "--operator", operator))[0] == 1


async def test_sessions_are_listed_and_ended(house: House) -> None:
    operator = await operator_of(house.deployment, Role.VIEWER)
    here, there = await operator_in(house.deployment, operator), await operator_in(house.deployment, operator)
    page = await here.page(f"{HOME}/sessions")
    assert "Firefox <b>" in text_of(page)
    first, second = [part.partition("/end")[0] for part in page.text.split(f"{HOME}/sessions/")[1:3]]
    assert (await submit(here, f"{HOME}/sessions/{second}/end")).status_code == 303
    assert (await there.get(HOME)).status_code == 303
    assert (await submit(house.by(Role.ADMIN), f"{HOME}/sessions/{first}/end")).status_code == 404
    assert (await here.get(HOME)).status_code == 200
    again = await operator_in(house.deployment, operator)
    token = again.http.cookies[COOKIE]
    assert (await submit(again, f"{HOME}/sign-out")).headers["location"] == "/portal/sign-in"
    again.http.cookies.set(COOKIE, token, domain="127.0.0.1", path="/")
    assert (await again.get(HOME)).status_code == 303, "the token is good for nothing, whoever has a copy"
    assert (await submit(here, f"{HOME}/sessions/end-all")).status_code == 303
    assert (await here.get(HOME)).status_code == 303
    ended = await house.audit(action="session.end", actor="a admin")
    assert ended[-1][1:] == ("refused", "unknown_id")


async def test_a_session_ends_when_it_is_idle(house: House) -> None:
    operator = await operator_of(house.deployment, Role.VIEWER)
    browser = await operator_in(house.deployment, operator)
    async with house.deployment.store() as store:
        [session] = await OperatorSessions(store.redis, None).of_owner(operator)
        assert 0 < await store.redis.ttl(last_use_of(session.session_id)) <= session.idle_seconds
        await store.redis.delete(last_use_of(session.session_id))
        assert await OperatorSessions(store.redis, None).of_owner(operator) == []
    assert (await browser.get(HOME)).status_code == 303


async def test_members_are_no_operators(house: House) -> None:
    member = await house.tenant.member("owner")
    for path in (HOME, f"{HOME}/sessions"):
        assert (await member.get(path)).status_code == 403
    token = await member.form_token()
    assert (await member.send(f"{HOME}/sessions/end-all", {"form_token": token})).status_code == 403
    assert (await member.get(house.tenant.path)).status_code == 200
    nobody = new_browser(house.deployment)
    assert (await nobody.get(HOME)).headers["location"] == "/portal/sign-in"


@pytest.mark.ci
async def test_operators_are_no_members(house: House) -> None:
    """An operator's session opens no page and no form of members, and is no credential of an API."""
    operator = house.by(Role.ADMIN)
    assert (await operator.get("/portal")).headers["location"] == HOME
    assert (await operator.get(house.tenant.path)).status_code == 404
    await nothing_of_members(house.deployment, operator, house.tenant.path)
    token = operator.http.cookies[COOKIE]
    async with operator_http(house.deployment) as http:
        for path in ("/api/v1/auth/me", f"/api/v1/apps/{house.tenant.app}/keys"):
            assert (await http.get(path, headers=bearer(token))).status_code == 401
    async with operator_http(house.deployment, private=True) as http:
        assert (await http.get("/api/v1/admin/apps", headers=bearer(token))).status_code == 401


async def nothing_of_members(deployment: Deployment, operator: Browser, path: str) -> None:
    """Expect that an operator sends no form of members."""
    for form in (f"{path}/keys", "/portal/sign-out", "/portal/sessions/end-all"):
        assert (await submit(operator, form, name="n")).status_code in (403, 404), form
    member = await signed_in(deployment, await developer_of(deployment))
    assert (await member.get(HOME)).status_code == 403


def operator_http(deployment: Deployment, *, private: bool = False) -> httpx.AsyncClient:
    """Return a client without cookies."""
    return httpx.AsyncClient(base_url=deployment.private if private else deployment.public, trust_env=False)
