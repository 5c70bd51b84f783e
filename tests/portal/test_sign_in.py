"""A link signs in once, a session is new each time, and each can be ended."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from middlewares.auth.keys import mint_sign_in_link, pepper_of
from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import DeveloperRecord
from proxy.control.developers.session_store import last_use_of
from proxy.control.developers.sessions import DeveloperSessions
from proxy.portal.access.cookies import SessionCookie, form_token, is_form_token
from tests.portal.browser import Browser, developer_of, link_for, new_browser, signed_in, text_of
from tests.portal.conftest import Tenant
from tests.support.builder import bearer
from tests.support.deployment import Deployment, deployed

pytestmark = pytest.mark.asyncio(loop_scope="package")
COOKIE = "tollgate"


async def test_a_link_is_good_once_however_many_ask_at_once(running: Deployment, used: Tenant) -> None:
    path = await link_for(running, await developer_of(running, {used.app: "viewer"}))
    browsers = [new_browser(running) for _ in range(20)]
    responses = await asyncio.gather(*(each.send(path, {}) for each in browsers))
    assert sorted(each.status_code for each in responses) == [303, *[410] * 19]
    assert [each for each in responses if "set-cookie" in each.headers] == [
        each for each in responses if each.status_code == 303
    ]
    assert (await new_browser(running).get(path)).status_code == 410


async def test_looking_at_a_link_does_not_use_it_up(running: Deployment, used: Tenant) -> None:
    """Hazard: programs that show previews of messages follow every link in them."""
    path = await link_for(running, await developer_of(running, {used.app: "viewer"}))
    browser = new_browser(running)
    for _ in range(3):
        page = await browser.page(path)
        assert "set-cookie" not in page.headers
    assert (await browser.http.head(path)).status_code == 200
    assert (await browser.send(path, {})).status_code == 303


async def test_a_link_is_not_good_late_or_changed_or_for_the_suspended(running: Deployment, used: Tenant) -> None:
    developer = await developer_of(running, {used.app: "viewer"})
    browser = new_browser(running)
    good = await link_for(running, developer)
    unknown, _ = mint_sign_in_link()
    changed = good[:-1] + ("a" if good[-1] != "a" else "b")
    for path, status in ((changed, 404), (f"/portal/sign-in/{unknown}", 410), ("/portal/sign-in/x", 404)):
        assert (await browser.get(path)).status_code == status
        assert (await browser.send(path, {})).status_code == status
    async with running.store() as store:
        await Developers(store.redis).suspend(developer)
    refused = await browser.send(good, {})
    assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)


async def test_the_token_is_new_at_each_sign_in(running: Deployment, used: Tenant) -> None:
    """Hazard: session fixation, by a cookie that somebody else has put into the browser."""
    developer = await developer_of(running, {used.app: "viewer"})
    mallory = await used.member("viewer")
    planted = mallory.http.cookies[COOKIE]
    browser = new_browser(running)
    browser.http.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
    assert (await browser.send(await link_for(running, developer), {})).status_code == 303
    tokens = {each.value for each in browser.http.cookies.jar}
    assert planted not in tokens
    assert len(tokens) == 1
    first = tokens.pop()
    assert (await browser.send(await link_for(running, developer), {})).status_code == 303
    assert browser.http.cookies[COOKIE] != first


async def test_the_cookie_is_kept_from_scripts_and_other_sites(running: Deployment, used: Tenant) -> None:
    path = await link_for(running, await developer_of(running, {used.app: "viewer"}))
    header = (await new_browser(running).send(path, {})).headers["set-cookie"]
    assert header.startswith("tollgate=tgd_")
    assert {each.strip().lower() for each in header.split(";")[1:]} == {"httponly", "path=/", "samesite=lax"}


@pytest.mark.ci
async def test_over_https_the_cookie_is_for_this_host_alone(tmp_path: Path) -> None:
    origin = "https://portal.example"
    async with deployed(tmp_path, {"public_url": origin, "portal": {"requests_per_minute": 3}}) as deployment:
        developer = await developer_of(deployment)
        async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as http:
            response = await http.post(await link_for(deployment, developer), headers={"origin": origin})
            header = response.headers["set-cookie"]
            code, shown, _ = await deployment.cli("portal", "link", "--developer", developer)
            pages = [await http.get("/portal/sign-in") for _ in range(4)]
            assert (await http.get("/api/v1/openapi.json")).status_code == 200, "a limit of its own"
    for page in pages[-2:]:
        assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert "Too many requests At most 3 portal requests are allowed in 60 seconds" in text_of(page)
        assert 0 < int(page.headers["retry-after"]) <= 60
    assert header.startswith("__Host-tollgate=tgd_")
    assert {each.strip().lower() for each in header.split(";")[1:]} == {"httponly", "path=/", "samesite=lax", "secure"}
    assert code == 0
    assert f"{origin}/portal/sign-in/tgl_" in shown


@pytest.mark.parametrize(
    ("origin", "allowed", "name"),
    [
        ("https://a.example", True, "__Host-tollgate"),
        ("http://127.0.0.1:8080", True, "tollgate"),
        ("http://localhost:8080", True, "tollgate"),
        ("http://[::1]:8080", True, "tollgate"),
        ("http://10.0.0.1:8080", False, "tollgate"),
        ("http://0.0.0.0:8080", False, "tollgate"),
        ("http://a.example", False, "tollgate"),
        ("http://localhost.a.example", False, "tollgate"),
    ],
)
async def test_without_https_only_this_machine_may_sign_in(origin: str, allowed: bool, name: str) -> None:
    cookie = SessionCookie(origin)
    assert (cookie.allowed, cookie.name) == (allowed, name)


async def test_the_token_of_a_form_is_that_of_its_session() -> None:
    assert is_form_token(form_token("a"), "a")
    for sent in (form_token("b"), "", "a", "ä"):
        assert not is_form_token(sent, "a")


async def test_signing_out_ends_the_session(used: Tenant) -> None:
    browser = await used.member("viewer")
    token = browser.http.cookies[COOKIE]
    response = await browser.post("/portal/sign-out")
    assert (response.status_code, response.headers["location"]) == (303, "/portal/sign-in")
    browser.http.cookies.set(COOKIE, token, domain="127.0.0.1", path="/")
    assert (await browser.get(used.path)).status_code == 303, "the token is good for nothing, whoever has a copy"


async def test_sessions_are_listed_and_ended(running: Deployment, used: Tenant) -> None:
    developer = await developer_of(running, {used.app: "owner"})
    here, there = await signed_in(running, developer), await signed_in(running, developer)
    page = await here.page("/portal/sessions")
    assert "Firefox <b>" in text_of(page), "what a client calls itself is shown as it is, and is no HTML"
    assert page.text.count('/end"') == 2
    [other] = [each for each in await sessions_of(running, developer) if f"{each}/end" in page.text][1:]
    assert (await here.post(f"/portal/sessions/{other}/end")).status_code == 303
    assert (await there.get(used.path)).status_code == 303
    assert (await here.get(used.path)).status_code == 200
    again = await signed_in(running, developer)
    assert (await here.post("/portal/sessions/end-all")).status_code == 303
    for browser in (here, again):
        assert (await browser.get(used.path)).headers["location"] == "/portal/sign-in"


async def sessions_of(running: Deployment, developer: str) -> list[str]:
    """Return the ids of a developer's sessions, oldest first."""
    async with running.store() as store:
        record = await Developers(store.redis).require(developer)
        found = await DeveloperSessions(store.redis, pepper_of(running.settings.auth)).list(record)
    return [each.session_id for each in found]


async def test_a_session_ends_when_it_is_idle(running: Deployment, used: Tenant) -> None:
    developer = await developer_of(running, {used.app: "viewer"})
    browser = await signed_in(running, developer)
    [session] = await sessions_of(running, developer)
    async with running.store() as store:
        left = await store.redis.ttl(last_use_of(session))
        assert 0 < left <= running.settings.portal.idle_seconds
        await store.redis.expire(last_use_of(session), 100)
        assert (await browser.get(used.path)).status_code == 200
        assert await store.redis.ttl(last_use_of(session)) > 100, "a use renews it"
        await store.redis.delete(last_use_of(session))
    assert (await browser.get(used.path)).status_code == 303
    assert await sessions_of(running, developer) == []
    token = browser.http.cookies[COOKIE]
    assert (await browser.http.get("/api/v1/auth/me", headers=bearer(token))).status_code == 401


async def test_a_page_that_renews_itself_keeps_no_session_alive(running: Deployment, used: Tenant) -> None:
    """Hazard: a tab that somebody has left open asks every few seconds, and its session never becomes idle."""
    developer = await developer_of(running, {used.app: "viewer"})
    browser = await signed_in(running, developer)
    [session] = await sessions_of(running, developer)
    async with running.store() as store:
        await store.redis.expire(last_use_of(session), 100)
        assert "Running now" in text_of(await browser.page(f"{used.path}/now"))
        assert 0 < await store.redis.ttl(last_use_of(session)) <= 100
        await store.redis.delete(last_use_of(session))
        assert (await browser.get(f"{used.path}/now")).status_code == 303
        ended = await browser.http.get(f"{used.path}/now", headers={"hx-request": "true"})
    assert (ended.status_code, ended.headers["hx-redirect"], ended.content) == (401, "/portal/sign-in", b"")


async def test_a_session_of_the_api_is_never_idle(running: Deployment) -> None:
    async with running.store() as store:
        developer: DeveloperRecord = await Developers(store.redis).require(await developer_of(running))
        sessions = DeveloperSessions(store.redis, pepper_of(running.settings.auth))
        _, token = await sessions.begin(developer, timedelta(hours=1), address="192.0.2.1", client="")
        assert await sessions.find(token.encode()) is not None
        assert len(await sessions.list(developer)) == 1


async def test_a_membership_that_ended_counts_at_once(running: Deployment, used: Tenant) -> None:
    developer = await developer_of(running, {used.app: "owner"})
    browser: Browser = await signed_in(running, developer)
    assert (await browser.get(used.path)).status_code == 200
    async with running.store() as store:
        await Memberships(store.redis).remove(used.app, developer)
    assert (await browser.get(used.path)).status_code == 404


async def test_secrets_are_in_no_log_and_no_audit_line(running: Deployment, used: Tenant) -> None:
    path = await link_for(running, await developer_of(running, {used.app: "owner"}))
    secret = path.rpartition("/")[2]
    browser = new_browser(running)
    cut = f"/portal/sign-in/{secret[5:]}"
    for each in (path, path + "x", f"/portal/{secret}", f"/portal/sign-in/{secret}/more", cut):
        await browser.get(each)
    await browser.send(cut, {}, {})
    await browser.send(path, {})
    token, form = browser.http.cookies[COOKIE], await browser.form_token()
    made = await browser.post(f"{used.path}/keys", name="made")
    key = next(word for word in text_of(made).split() if word.startswith("tgk_"))
    await browser.get(f"{used.path}/requests", id=key)
    await browser.get(f"{used.path}/requests/{key}")
    _, audit, _ = await running.cli("audit", "list", "--json")
    written = running.log.read_text() + audit
    assert "developer.portal_sign_in" in audit
    for each in (secret, secret.split("_")[2], token.split("_")[2], form, key.split("_")[2]):
        assert each not in written
    assert "/portal/sign-in/tgl_[redacted]" in written
