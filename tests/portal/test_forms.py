"""A form that no page of ours has sent changes nothing, and looking changes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from config.runtime import Currency
from middlewares.exchange import Refusal
from proxy.portal.access.forms import check_same_origin
from proxy.portal.access.sent_forms import new_form_id
from proxy.portal.application import portal_application
from tests.portal.browser import Browser, developer_of, link_for, new_browser, text_of
from tests.portal.conftest import Tenant
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

FORMS = (
    "/portal/sign-out",
    "/portal/sessions/end-all",
    "/portal/sessions/{session_id}/end",
    "/portal/apps/{client_id}/keys",
    "/portal/apps/{client_id}/keys/{key_id}/change",
    "/portal/apps/{client_id}/keys/{key_id}/rotate",
    "/portal/apps/{client_id}/keys/{key_id}/revoke",
    "/portal/apps/{client_id}/users",
    "/portal/apps/{client_id}/users/{user_id}/email",
    "/portal/apps/{client_id}/users/{user_id}/status",
    "/portal/apps/{client_id}/webhooks",
    *(
        f"/portal/apps/{{client_id}}/webhooks/{{webhook_id}}/{act}"
        for act in ("change", "status", "rotate", "test", "remove")
    ),
    "/portal/apps/{client_id}/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
)
SIGN_IN_FORMS = (
    "/portal/sign-in/{secret}",
    "/portal/sign-in/wallet",
    "/portal/sign-in/wallet/message",
    "/portal/sign-in/provider",
    "/portal/view/{secret}",
    "/portal/view/close",
)
"""Those of people who have no session yet; see `tests/portal/sign_in`."""
FOREIGN: list[dict[str, str]] = [
    {},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    {"origin": "own", "sec-fetch-site": "cross-site"},
    {"origin": "own.evil.example"},
]


def served() -> list[Route]:
    """Return all routes of the portal."""
    return [each for each in served_application().routes if isinstance(each, Route)]


def served_application() -> Starlette:
    """Return the portal without anything behind its routes."""
    services: Any = SimpleNamespace(
        settings=SimpleNamespace(currency=Currency()),
        origin="http://127.0.0.1",
        developers=None,
        operators=None,
        sources=SimpleNamespace(client=None, history=None),
        users=None,
        webhooks=None,
    )
    return portal_application(services)


async def test_every_form_is_tried_here() -> None:
    taken = {each.path for each in served() if "POST" in (each.methods or ())}
    assert {each for each in taken if not each.startswith("/portal/operator/")} == {*FORMS, *SIGN_IN_FORMS}


async def paths(used: Tenant, browser: Browser) -> list[str]:
    """Return the forms, each about something that it could change."""
    page = (await browser.page("/portal/sessions")).text
    session = page.partition("/portal/sessions/")[2].partition("/end")[0]
    key = await fresh_key(used, browser)
    ids = {"key_id": key, "user_id": used.user, "webhook_id": "a" * 16, "delivery_id": f"msg_{'0' * 32}"}
    names = {"session_id": session, "client_id": used.app, **ids}
    return [each.format(**names) for each in FORMS]


async def fresh_key(used: Tenant, browser: Browser) -> str:
    """Return the id of a new key, whose name is `fresh`."""
    made = await browser.post(f"{used.path}/keys", name="fresh")
    assert made.status_code == 200
    return made.text.partition('<code class="id">')[2].partition("<")[0]


async def state(used: Tenant, browser: Browser) -> list[str]:
    """Return what the pages show of everything that forms change."""
    below = ("/keys", "/users", f"/users/{used.user}", "/webhooks")
    return [await browser.shown(path) for path in (*(used.path + each for each in below), "/portal/sessions")]


@pytest.mark.slow
async def test_no_form_of_another_page_is_taken(used: Tenant) -> None:
    browser = await used.member("owner")
    tried, token = await paths(used, browser), await browser.form_token()
    before = await state(used, browser)
    for path in tried:
        for headers in FOREIGN:
            sent = {name: value.replace("own", browser.origin) for name, value in headers.items()}
            response = await browser.send(path, {"form_token": token, "name": "fresh", "overlap": "24"}, sent)
            assert response.status_code == 403, (path, headers)
    assert await state(used, browser) == before


@pytest.mark.ci
async def test_no_form_without_the_token_of_its_session_is_taken(used: Tenant) -> None:
    browser, other = await used.member("owner"), await used.member("owner")
    tried, foreign = await paths(used, browser), await other.form_token()
    before = await state(used, browser)
    for path in tried:
        for fields in ({}, {"form_token": ""}, {"form_token": foreign}, {"form_token": "é"}):
            response = await browser.send(path, {**fields, "name": "fresh", "overlap": "24"})
            assert response.status_code == 403, (path, fields)
    assert await state(used, browser) == before


async def test_either_header_of_a_browser_is_enough(used: Tenant) -> None:
    browser = await used.member("owner")
    for headers in ({"origin": browser.origin}, {"sec-fetch-site": "same-origin"}):
        fields = {"form_token": await browser.form_token(), "form_id": new_form_id(), "name": "one header"}
        assert (await browser.send(f"{used.path}/keys", fields, headers)).status_code == 200


@pytest.mark.parametrize(
    ("declared", "sent"),
    [
        ("https://Tollgate.Example.com", "https://tollgate.example.com"),
        ("https://tollgate.example.com:443", "https://tollgate.example.com"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://tollgate.example.com:8443", "https://tollgate.example.com:8443"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
    ],
)
async def test_an_origin_is_known_as_browsers_spell_it(declared: str, sent: str) -> None:
    """Hazard: `public_url` names the usual port, or has capital letters; browsers drop both, and no form is taken."""

    def request(origin: str) -> Request:
        return Request({"type": "http", "headers": [(b"origin", origin.encode())]})

    check_same_origin(request(sent), declared)
    for foreign in (sent + "0", sent.replace("://", "://x."), sent.replace("http", "ftp"), "null", ""):
        with pytest.raises(Refusal):
            check_same_origin(request(foreign), declared)


async def test_signing_in_takes_no_form_of_another_page(running: Deployment, used: Tenant) -> None:
    """Hazard: somebody signs a victim in as themselves, and reads what the victim then does."""
    path = await link_for(running, await developer_of(running, {used.app: "viewer"}))
    browser = new_browser(running)
    for headers in FOREIGN:
        sent = {name: value.replace("own", browser.origin) for name, value in headers.items()}
        response = await browser.send(path, {}, sent)
        assert (response.status_code, "set-cookie" in response.headers) == (403, False)
    assert (await browser.send(path, {})).status_code == 303, "the link was not used up"


async def test_forms_that_are_none_are_refused(used: Tenant) -> None:
    browser = await used.member("owner")
    own = {"origin": browser.origin}
    path, token = f"{used.path}/keys", await browser.form_token()
    for content, kind in (
        (b'{"form_token": "x"}', "application/json"),
        (b"form_token=x", "text/plain"),
        (b"form_token=%ff", "application/x-www-form-urlencoded"),
        (b"a=1&a=2", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % number for number in range(50)), "application/x-www-form-urlencoded"),
    ):
        response = await browser.http.post(path, content=content, headers={**own, "content-type": kind})
        assert response.status_code == 400, content
    large = {"form_token": token, "name": "n" * 2 * 1024 * 1024}
    refused = await browser.send(path, large)
    assert (refused.status_code, refused.headers["connection"]) == (413, "close")
    assert "The body is too large" in text_of(refused)


async def test_nothing_is_changed_by_looking(used: Tenant) -> None:
    browser = await used.member("owner")
    tried = await paths(used, browser)
    before = await state(used, browser)
    for path in tried:
        assert (await browser.get(path, name="fresh", overlap="0")).status_code in (200, 404, 405), path
    assert await state(used, browser) == before


async def test_whoever_is_not_signed_in_changes_nothing(running: Deployment, used: Tenant) -> None:
    tried = await paths(used, await used.member("owner"))
    nobody = new_browser(running)
    for path in tried:
        assert (await nobody.send(path, {"form_token": "a" * 64, "name": "fresh"})).status_code == 401, path
