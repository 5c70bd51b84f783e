"""Every page is there for every role, has no script but our own two, and has the headers that protect it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files

import httpx
import pytest

from proxy.control.developers.records import MemberRole
from proxy.portal.pages import CONTENT_SECURITY_POLICY, HTMX_INTEGRITY
from tests.portal.browser import Browser, developer_of, new_browser, read_page, signed_in, text_of
from tests.portal.conftest import GRANT, PRICE, Tenant, tenant
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

PLAIN = ("", "/keys", "/users", "/usage", "/requests", "/statements", "/webhooks", "/try", "/audit")
BELOW = (*PLAIN, *(f"/usage?by={by}" for by in ("day", "month", "workload", "model")))
BY_NAME = ("/usage?by=user", "/usage?by=key")
VOID = {"meta", "link", "img", "input", "br"}
HANDLERS = ("on", "style", "hx-on", "data-hx-on", "hx-vals", "hx-headers", "hx-confirm")
"""Beginnings of attributes that may run what stands in them."""
ROLES: tuple[MemberRole, ...] = ("owner", "developer", "billing", "viewer")


def balanced(text: str) -> bool:
    """Return True if each element of a page is closed, in order."""

    class Balance(HTMLParser):
        """Keeps the elements that are open."""

        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.good = True

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in VOID:
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.good &= tag in VOID | {"rect"}

        def handle_endtag(self, tag: str) -> None:
            self.good &= bool(self.open) and self.open.pop() == tag

    reader = Balance()
    reader.feed(text)
    reader.close()
    return reader.good and reader.open == []


def scripts_of(page: httpx.Response) -> list[dict[str, str | None]]:
    """Return the attributes of the scripts of a page, which have no text, and the nonce of this very response."""
    assert "<script>" not in page.text
    assert re.findall(r"<script[^>]*>(?!</script>)", page.text) == []
    policy = re.search(r"script-src 'nonce-([\w-]{22})'", page.headers["content-security-policy"])
    assert policy is not None
    nonce = {"nonce": policy[1], "defer": None}
    static = "/portal/static/"
    return [
        {**nonce, "src": f"{static}htmx-4.0.1.min.js", "integrity": HTMX_INTEGRITY},
        {**nonce, "src": f"{static}portal.js"},
    ]


async def test_htmx_is_the_file_that_was_pinned() -> None:
    [file] = [each for each in (files("proxy.portal") / "static").iterdir() if each.name.startswith("htmx")]
    digest = hashlib.sha384(file.read_bytes()).digest()
    assert f"sha384-{base64.b64encode(digest).decode()}" == HTMX_INTEGRITY
    assert 'this.version="4.0.1"' in file.read_text()


@pytest.mark.ci
@pytest.mark.sampled(2)
@pytest.mark.parametrize("role", ROLES)
async def test_every_page_is_for_every_role(used: Tenant, role: MemberRole) -> None:
    browser = await used.member(role)
    assert (await browser.get("/portal")).headers["location"] == used.path
    [event, *_] = [each for each in read_page(await browser.page(f"{used.path}/requests")).links if "/01" in each]
    [key, *_] = [each for each in read_page(await browser.page(f"{used.path}/keys")).links if "/keys/" in each]
    for path in (*(used.path + each for each in (*BELOW, *BY_NAME)), event, key, "/portal/sessions"):
        page = await browser.page(path)
        reader = read_page(page)
        assert balanced(page.text), path
        names = [tag for tag, _ in reader.tags]
        assert names.count("h1") == names.count("main") == 1, path
        assert not {"style", "iframe", "object"} & set(names), path
        assert [each for tag, each in reader.tags if tag == "script"] == scripts_of(page), path
        for tag, members in reader.tags:
            assert not [each for each in members if each.startswith(HANDLERS)], (path, tag)
        forms = {action for method, action in reader.forms if method == "POST"}
        if role in ("billing", "viewer"):
            assert {each for each in forms if "/apps/" in each} == set(), "who may change nothing is offered nothing"


async def test_headers_keep_pages_from_frames_caches_and_foreign_content(used: Tenant) -> None:
    browser = await used.member("viewer")
    pages = [await browser.page(path) for path in (used.path, f"{used.path}/usage.csv", "/portal/sign-in")]
    pages += [await browser.get(path) for path in ("/portal", "/portal/nowhere", "/portal/apps/app_x")]
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert re.sub(r"script-src '(none|nonce-[\w-]{22})'", "script-src", policy) == re.sub(
            r"script-src '[^']*'", "script-src", CONTENT_SECURITY_POLICY
        )
        assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "same-origin", "else browsers send `Origin: null` with our own forms"
    for name, kind in (
        ("portal.css", "text/css"),
        ("mark.svg", "image/svg+xml"),
        ("portal.js", "text/javascript"),
        ("htmx-4.0.1.min.js", "text/javascript"),
    ):
        file = await browser.page(f"/portal/static/{name}")
        assert file.headers["content-type"].startswith(kind)
        assert file.headers["x-content-type-options"] == "nosniff"
        assert file.headers["cross-origin-resource-policy"] == "same-origin"
        known = await browser.http.get(f"/portal/static/{name}", headers={"if-none-match": file.headers["etag"]})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", file.headers["etag"])


async def test_whoever_is_not_signed_in_is_shown_how(running: Deployment, used: Tenant) -> None:
    browser = new_browser(running)
    for path in ("/portal", used.path, f"{used.path}/usage.csv", "/portal/sessions"):
        response = await browser.get(path)
        assert (response.status_code, response.headers["location"]) == (303, "/portal/sign-in"), path
    assert "tollgate portal link" in text_of(await browser.page("/portal/sign-in"))


async def test_errors_are_pages(used: Tenant) -> None:
    browser = await used.member("owner")
    for path, status, words in (
        ("/portal/nowhere", 404, "There is no such page."),
        ("/portal/a%2fb", 400, "The request is not well-formed HTTP"),
        (f"{used.path}/keys/{'a' * 16}", 404, "The app has no such key."),
        (f"{used.path}/usage?from=yesterday", 400, "write it as 2026-11-21"),
        (f"{used.path}/usage?by=tier", 400, "by nothing else"),
        (f"{used.path}/requests?before=x", 400, "what a page has named"),
        (f"{used.path}/requests/{'0' * 26}", 404, "There is no request of this id"),
    ):
        response = await browser.get(path)
        assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert words in text_of(response), path
    assert (await browser.send("/portal/nowhere", {})).status_code == 404
    wrong = await browser.send(used.path, {})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")


async def test_a_method_that_a_page_does_not_take_is_told_all_that_it_takes(used: Tenant) -> None:
    """Hazard: page and form have routes of their own on one path, and only those of the first are named."""
    browser = await used.member("owner")
    for path, allowed in (
        (f"{used.path}/keys", "GET, HEAD, POST"),
        (f"{used.path}/usage", "GET, HEAD"),
        (f"{used.path}/keys/{'a' * 16}/rotate", "POST"),
        ("/portal/sign-in/wallet", "GET, HEAD, POST"),
        ("/portal/static/portal.css", "GET, HEAD"),
    ):
        for method in ("PUT", "OPTIONS"):
            refused = await browser.http.request(method, path)
            assert (refused.status_code, refused.headers["allow"]) == (405, allowed), path
            assert f"This page takes {allowed}." in text_of(refused)


async def test_head_is_what_get_is_without_the_page(running: Deployment, used: Tenant) -> None:
    for browser in (await used.member("viewer"), new_browser(running)):
        for path in ("/portal", used.path, f"{used.path}/usage.csv", "/portal/nowhere", "/portal/operator"):
            asked = [await browser.http.request(method, path) for method in ("HEAD", "GET")]
            assert len({(each.status_code, each.headers.get("location")) for each in asked}) == 1, path
            assert asked[0].content == b""


async def test_overview_shows_balance_limits_and_what_is_spent(used: Tenant) -> None:
    text = text_of(await (await used.member("billing")).page(used.path))
    left = GRANT - 5 * PRICE
    assert f"Available {left // 10**18:,}.{left % 10**18:018d} ETH" in text
    assert "Reserved 0 ETH" in text
    assert "Spent this month 3,500.000000000000000005 ETH" in text
    assert "Forecast of the month Not yet" in text, "the app is of today"
    assert "Requests this month 5" in text
    assert "Requests in 24 hours the app 5 / 100,000" in text
    assert "Requests at once the app 0 / 7" in text
    assert "Money each month the app 3,500.000000000000000005 ETH / 100,000,000 ETH" in text
    assert "Requests in a minute each user at most 60" in text, "one count for each user is no share of a whole"


async def test_an_app_without_anything_says_so(running: Deployment) -> None:
    empty = await tenant(running, "n" * 100, plan="narrow")
    browser = await empty.member("viewer")
    for below, words in (
        ("", "Nothing runs at the moment."),
        ("/usage", "Nothing was used from"),
        ("/requests", "There are no requests yet."),
        ("/requests?model=m", "There are no requests like this."),
    ):
        assert words in text_of(await browser.page(empty.path + below))


async def test_an_app_whose_plan_is_gone_says_so(running: Deployment) -> None:
    gone = await tenant(running, "Gone", plan="no-such-plan")
    text = text_of(await (await gone.member("viewer")).page(gone.path))
    assert "Plan no-such-plan" in text
    assert "The plan is not offered any more" in text


async def test_whoever_is_in_several_apps_or_none_chooses(running: Deployment, used: Tenant) -> None:
    other = await tenant(running, "Second House")
    both: Browser = await signed_in(running, await developer_of(running, {used.app: "owner", other.app: "viewer"}))
    page = await both.page("/portal")
    assert {used.path, other.path} <= set(read_page(page).links)
    assert "Second House Viewer" in text_of(page)
    nowhere = await signed_in(running, developer := await developer_of(running))
    assert developer in text_of(await nowhere.page("/portal"))
