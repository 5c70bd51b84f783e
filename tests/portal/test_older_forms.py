"""A form that is older than its record changes what was changed in it, and nothing else."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from tests.portal.browser import read_page, text_of
from tests.portal.conftest import Tenant, tenant
from tests.portal.test_keys import created
from tests.portal.test_webhooks import registered
from tests.support.deployment import Deployment
from tests.webhooks.notifications.receiver import Receiver

pytestmark = pytest.mark.asyncio(loop_scope="package")


def filled(page: httpx.Response, action: str) -> dict[str, str]:
    """Return what a browser would send of a form that nobody has touched."""
    found, inside = dict[str, str](), False
    for tag, each in read_page(page).tags:
        if tag == "form":
            inside = each.get("action") == action
        if inside and tag == "input" and (each.get("type") != "checkbox" or "checked" in each):
            found[each["name"] or ""] = each.get("value") or "on" * (each.get("type") == "checkbox")
        if inside and tag == "textarea":
            name = each["name"]
            text = re.search(rf'<textarea name="{name}"[^>]*>(.*?)</textarea>', page.text, re.S)
            assert text
            found[name or ""] = html.unescape(text[1]).replace("\n", "\r\n")
    found.pop("form_token", None)
    return found


async def test_an_older_form_of_a_key_resets_nothing(used: Tenant) -> None:
    """Hazard: one owner lowers a limit, another corrects a name in an older page, and the limit is back."""
    first, second = await used.member("owner"), await used.member("owner")
    origins = "https://a.example\r\nhttps://b.example"
    _, key_id = await created(first, used, name="Kisok", requests_per_minute="600", origins=origins)
    path = f"{used.path}/keys/{key_id}"
    change = f"{path}/change"
    older = filled(await second.page(path), change)
    lowered = {**filled(await first.page(path), change), "requests_per_minute": "10"}
    assert (await first.post(change, **lowered)).status_code == 303
    assert (await second.post(change, **{**older, "name": "Kiosk"})).status_code == 303
    text = text_of(await first.page(path))
    assert "Kiosk" in text
    assert "Most requests in a minute 10 Web pages https://a.example, https://b.example" in text


@pytest.mark.ci
async def test_a_field_that_two_have_changed_is_decided_by_people(used: Tenant) -> None:
    """Hazard: the one who saves last does not learn that the limit was lowered."""
    first, second = await used.member("owner"), await used.member("owner")
    _, key_id = await created(first, used, name="Both", requests_per_minute="600", spend_per_day="1")
    path = f"{used.path}/keys/{key_id}"
    change = f"{path}/change"
    older = filled(await second.page(path), change)
    now = {**older, "requests_per_minute": "10", "spend_per_day": "2"}
    assert (await first.post(change, **now)).status_code == 303
    refused = await second.post(change, **{**older, "requests_per_minute": "700"})
    assert refused.status_code == 409
    text = text_of(refused)
    assert "Somebody else has changed this meanwhile: Most requests in a minute (now 10). Nothing was changed." in text
    again = filled(refused, change)
    assert (again["requests_per_minute"], again["spend_per_day"]) == ("700", "2"), "what was typed, and what is new"
    assert "Most requests in a minute 10 " in text_of(await first.page(path))
    assert (await second.post(change, **again)).status_code == 303, "who saves again has seen it"
    assert "Most money in a day 2 ETH Most requests in a minute 700" in text_of(await first.page(path))
    same = {**older, "requests_per_minute": "700"}
    assert (await first.post(change, **same)).status_code == 303, "both mean the same"


async def test_an_older_form_of_a_webhook_resets_nothing(running: Deployment, receiver: Receiver) -> None:
    """Hazard: as with keys; a URL that was replaced because it leaks is back."""
    mine = await tenant(running, "Older")
    first, second = await mine.member("owner"), await mine.member("owner")
    path, _ = await registered(first, mine, receiver, description="Ours", **{"kind-key.revoked": "on"})
    change = f"{path}/change"
    older = filled(await second.page(path), change)
    now = {**older, "url": f"{receiver.url}/new", "kind-key.old": "on"}
    assert (await first.post(change, **now)).status_code == 303
    assert (await second.post(change, **{**older, "description": "Theirs"})).status_code == 303
    text = text_of(await first.page(path))
    assert "Theirs" in text
    assert f"URL {receiver.url}/new " in text
    both = {name: value for name, value in older.items() if name != "kind-key.revoked"}
    refused = await second.post(change, **both)
    assert refused.status_code == 409
    assert "Somebody else has changed this meanwhile: What to send" in text_of(refused)
    assert not {"kind-key.old", "kind-key.revoked"} & filled(refused, change).keys(), "as it was typed"
