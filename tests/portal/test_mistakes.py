"""A form that is refused for what stands in it is shown again with that. Hazard: all that was typed is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisAway
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from middlewares.auth.keys import mint_session
from middlewares.exchange import Refusal
from proxy.history.store import HistoryUnavailable
from proxy.portal.access.cookies import SessionCookie, form_token
from proxy.portal.access.forms import TOKEN_FIELD, Mistake
from proxy.portal.access.routes import form_route
from tests.portal.browser import Browser, read_page, text_of
from tests.portal.conftest import Tenant, tenant
from tests.portal.test_forms import fresh_key
from tests.portal.test_pages import balanced
from tests.portal.test_webhooks import registered
from tests.support.deployment import Deployment
from tests.webhooks.notifications.receiver import Receiver

pytestmark = pytest.mark.asyncio(loop_scope="package")

HOSTILE = '"><script>alert(1)</script>'


async def corrected(browser: Browser, path: str, fields: dict[str, str], why: str, status: int = 400) -> dict[str, str]:
    """Send a form that is refused; return what the form of the page that follows has in its fields."""
    page = await browser.post(path, **fields)
    assert (page.status_code, balanced(page.text)) == (status, True)
    assert why in text_of(page)
    assert "Nothing was changed." in text_of(page)
    assert "<script>alert" not in page.text
    found, inside = dict[str, str](), False
    for tag, each in read_page(page).tags:
        if tag == "form":
            inside = (each.get("action"), each.get("method")) == (path, "post")
        if tag == "input" and inside and (each.get("type") != "checkbox" or "checked" in each):
            found[each["name"] or ""] = each.get("value") or ""
    return found


async def test_a_new_key_keeps_what_was_typed(used: Tenant) -> None:
    browser, path = await used.member("owner"), f"{used.path}/keys"
    fields = {"name": HOSTILE, "user": "ann", "last_day": "2999-12-31", "spend_per_day": "2,5", "concurrent": "3"}
    found = await corrected(browser, path, fields, "Most money: expected a number")
    assert {name: found[name] for name in fields} == fields
    sent = await browser.post(path, **{**found, "spend_per_day": "2.5", "name": "corrected"})
    assert (sent.status_code, "Copy the new key now" in sent.text) == (200, True), "by its own token and id"


async def test_a_changed_key_keeps_what_was_typed(used: Tenant) -> None:
    browser = await used.member("owner")
    path = f"{used.path}/keys/{await fresh_key(used, browser)}"
    fields = {"name": "Another name", "requests_per_minute": "many", "spend_total": "1.5"}
    found = await corrected(browser, f"{path}/change", fields, "expected a whole number")
    assert {name: found[name] for name in fields} == fields
    assert "Another name" not in text_of(await browser.page(path))


async def test_a_new_user_keeps_what_was_typed(used: Tenant) -> None:
    fields = {"external_id": "mistaken", "email": HOSTILE}
    browser = await used.member("developer")
    found = await corrected(browser, f"{used.path}/users", fields, "Email: expected an address")
    assert {name: found[name] for name in fields} == fields
    other = await browser.post(f"{used.path}/users", external_id="not mistaken")
    fields = {"external_id": other.headers["location"].rpartition("/")[2], "email": "a@x.example"}
    found = await corrected(browser, f"{used.path}/users", fields, "is the user id of a user of this app")
    assert {name: found[name] for name in fields} == fields


async def test_webhooks_keep_what_was_typed(running: Deployment, receiver: Receiver) -> None:
    mine = await tenant(running, "Mistaken")
    browser = await mine.member("owner")
    fields = {"url": "http://plain.example.com/", "description": HOSTILE, "balance_below": "1", "kind-key.old": "on"}
    why = "must be an https URL"
    found = await corrected(browser, f"{mine.path}/webhooks", fields, why)
    assert {name: found.get(name) or "on" for name in found if name in fields or name.startswith("kind")} == fields
    path, _ = await registered(browser, mine, receiver, **{"kind-key.revoked": "on"})
    found = await corrected(browser, f"{path}/change", fields, why)
    assert {name: found.get(name) or "on" for name in found if name in fields or name.startswith("kind")} == fields
    assert "Takes A key was revoked Balance that is low Not set" in text_of(await browser.page(path))


async def test_a_role_that_is_too_low_is_shown_no_form(used: Tenant) -> None:
    viewer = await used.member("viewer")
    refused = await viewer.post(f"{used.path}/keys", name="n", last_day="tomorrow")
    assert (refused.status_code, "Nothing was changed." in refused.text) == (403, False)


async def test_a_key_for_a_user_who_cannot_have_one_keeps_what_was_typed(running: Deployment) -> None:
    mine = await tenant(running, "Mistaken users")
    browser, path = await mine.member("owner"), f"{mine.path}/keys"
    assert (await browser.post(f"{mine.path}/users/{mine.user}/status", status="suspended")).status_code == 303
    for user, why, status in (("anm", "no such user", 404), ("ann", "The user is suspended", 403)):
        fields = {"name": HOSTILE, "user": user, "last_day": "2999-12-31", "spend_per_day": "2.5"}
        found = await corrected(browser, path, fields, why, status)
        assert {name: found[name] for name in fields} == fields


async def test_an_email_that_is_refused_is_shown_again(used: Tenant) -> None:
    path = f"{used.path}/users/{used.user}/email"
    found = await corrected(await used.member("owner"), path, {"email": HOSTILE}, "Email: expected an address")
    assert found["email"] == HOSTILE


async def test_a_name_that_somebody_has_drops_no_email(running: Deployment) -> None:
    """Hazard: the page of the user that there is opens as if it had been added, with another email."""
    mine = await tenant(running, "Names that there are")
    browser, fields = await mine.member("developer"), {"external_id": "ann", "email": "new@example.com"}
    page = await browser.post(f"{mine.path}/users", **fields)
    assert (page.status_code, balanced(page.text)) == (409, True)
    assert text_of(page).count("There is already a user of this name.") == 1
    inputs = {each["name"]: each.get("value") for tag, each in read_page(page).tags if tag == "input"}
    assert {name: inputs[name] for name in fields} == fields
    assert f"{mine.path}/users/{mine.user}" in re.findall(r'href="([^"]*)">The user that there is<', page.text)
    assert "Email None" in text_of(await browser.page(f"{mine.path}/users/{mine.user}"))


@pytest.mark.parametrize("away", [HistoryUnavailable("away"), RedisAway("away"), Refusal(404, "unknown_id", "Gone.")])
async def test_a_page_that_cannot_be_shown_again_hides_no_refusal(away: Exception) -> None:
    """Hazard: whoever has mistyped something reads that a store is away, and does not know what became of the form."""

    @dataclass(frozen=True)
    class Visitor:
        mistake: Mistake | None = None

    async def identify(_: Request) -> Visitor:
        return Visitor()

    async def take(_: Visitor, __: Mapping[str, str]) -> Response:
        raise Refusal(400, "invalid_parameter", "Mistyped.")

    async def again(_: Visitor) -> Response:
        raise away

    origin, token = "http://127.0.0.1", mint_session()[0]
    cookie = SessionCookie(origin)
    route = form_route("/f", origin, cookie, identify, take, again=again)
    transport = httpx.ASGITransport(Starlette(routes=[route]))
    async with httpx.AsyncClient(transport=transport, base_url=origin, cookies={"tollgate": token}) as http:
        with pytest.raises(Refusal, match=r"Mistyped\."):
            await http.post("/f", data={TOKEN_FIELD: form_token(token)}, headers={"origin": origin})
