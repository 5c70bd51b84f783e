"""A form that is refused for what stands in it is shown again with that. Hazard: all that was typed is lost."""

from __future__ import annotations

import pytest

from tests.portal.browser import Browser, read_page, text_of
from tests.portal.conftest import Tenant, tenant
from tests.portal.test_forms import fresh_key
from tests.portal.test_pages import balanced
from tests.portal.test_webhooks import registered
from tests.support.deployment import Deployment
from tests.webhooks.notifications.receiver import Receiver

pytestmark = pytest.mark.asyncio(loop_scope="package")

HOSTILE = '"><script>alert(1)</script>'


async def corrected(browser: Browser, path: str, fields: dict[str, str], why: str) -> dict[str, str]:
    """Send a form that is refused; return what the form of the page that follows has in its fields."""
    page = await browser.post(path, **fields)
    assert (page.status_code, balanced(page.text)) == (400, True)
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
