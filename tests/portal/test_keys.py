"""A key is shown once, works, is rotated with an overlap, and is revoked by typing its name."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

import httpx
import pytest

from config.runtime import Currency
from middlewares.exchange import Refusal
from proxy.control.api_keys import ApiKeys
from proxy.control.key_changes import increase_of
from proxy.control.key_use import KeyUse
from proxy.portal.access.sent_forms import new_form_id
from proxy.portal.tenant.key_fields import LIMIT_NAMES, atomic_units, key_members, overlap_of
from tests.portal.browser import Browser, read_page, text_of
from tests.portal.conftest import Tenant
from tests.support.builder import bearer

pytestmark = pytest.mark.asyncio(loop_scope="package")

KEY = re.compile(r"tgk_\w+")
ETH = Currency()


async def works(used: Tenant, key: str) -> int:
    """Return the status of a request with a key, that no gateway is asked for."""
    async with httpx.AsyncClient(base_url=used.deployment.public, trust_env=False, verify=False) as http:
        response = await http.get(f"/api/v1/explain/{'0' * 26}", headers=bearer(key))
    return response.status_code


async def created(browser: Browser, used: Tenant, **fields: str) -> tuple[str, str]:
    """Return the text and the id of a new key."""
    page = await browser.post(f"{used.path}/keys", **fields)
    assert page.status_code == 200, text_of(page)
    [key] = set(KEY.findall(page.text))
    return key, key.split("_")[1]


async def test_a_key_is_shown_once_and_works(used: Tenant) -> None:
    browser = await used.member("owner")
    key, key_id = await created(
        browser, used, name="Kiosk", user="ann", spend_per_month="25.000000000000000001", last_day="2999-12-31"
    )
    assert await works(used, key) == 404, "not 401"
    for path in ("/keys", f"/keys/{key_id}"):
        page = await browser.page(used.path + path)
        assert key_id in page.text
        assert not KEY.search(page.text)
    shown = text_of(await browser.page(f"{used.path}/keys/{key_id}"))
    assert "Kiosk" in shown
    assert "User ann" in shown
    assert "Ends 3000-01-01 00:00:00 UTC" in shown
    assert "Most money in a month 25.000000000000000001 ETH" in shown


async def test_a_key_is_rotated_and_revoked(used: Tenant) -> None:
    browser = await used.member("owner")
    old, old_id = await created(browser, used, name="Gate <1>")
    page = await browser.post(f"{used.path}/keys/{old_id}/rotate", overlap="24")
    [new] = set(KEY.findall(page.text))
    assert (await works(used, old), await works(used, new)) == (404, 404), "both work for a day"
    assert "Replaced until" in text_of(await browser.page(f"{used.path}/keys"))
    again = await browser.post(f"{used.path}/keys/{old_id}/rotate", overlap="24")
    assert (again.status_code, "rotated before" in again.text) == (409, True)

    path = f"{used.path}/keys/{new.split('_')[1]}"
    for wrong in ("", "Gate", "gate <1>", "Gate &lt;1&gt;"):
        refused = await browser.post(f"{path}/revoke", name=wrong)
        assert (refused.status_code, "nothing was changed" in refused.text) == (400, True), wrong
    assert await works(used, new) == 404
    assert (await browser.post(f"{path}/revoke", name="Gate <1>")).status_code == 303
    assert (await works(used, new), await works(used, old)) == (401, 404)
    assert "Revoke the key" not in (await browser.page(path)).text


async def test_a_key_is_revoked_by_its_name_as_a_page_shows_it(used: Tenant) -> None:
    """Hazard: browsers show one space for several, so that nobody can see what would have to be typed."""
    browser = await used.member("owner")
    key, key_id = await created(browser, used, name="Front  door   1")
    path = f"{used.path}/keys/{key_id}"
    assert (await browser.post(f"{path}/revoke", name="Frontdoor 1")).status_code == 400
    assert (await browser.post(f"{path}/revoke", name="Front door 1")).status_code == 303
    assert await works(used, key) == 401
    _, other = await created(browser, used, name="Back  door")
    assert (await browser.post(f"{used.path}/keys/{other}/revoke", name="Back  door")).status_code == 303


async def test_large_numbers_are_grouped_where_people_read_them_and_not_where_they_write(used: Tenant) -> None:
    """Hazard: a form that is sent as it was shown is refused for its commas, or means another number."""
    browser = await used.member("owner")
    _, key_id = await created(browser, used, spend_per_day="1234567.50001", requests_per_minute="1234567")
    path = f"{used.path}/keys/{key_id}"
    page = await browser.page(path)
    assert "Most money in a day 1,234,567.50001 ETH Most requests in a minute 1,234,567" in text_of(page)
    values = {members.get("name"): members.get("value") for tag, members in read_page(page).tags if tag == "input"}
    plain = {"spend_per_day": "1234567.50001", "requests_per_minute": "1234567"}
    assert {name: values[name] for name in plain} == plain
    assert (await browser.post(f"{path}/change", **plain)).status_code == 303
    assert "Most money in a day 1,234,567.50001 ETH" in text_of(await browser.page(path))


async def test_limits_and_web_pages_of_a_key_are_changed(used: Tenant) -> None:
    browser = await used.member("owner")
    _, key_id = await created(
        browser, used, name="Web", spend_per_day="2.5", requests_per_minute="30", origins="https://a.example"
    )
    path = f"{used.path}/keys/{key_id}"
    page = await browser.page(path)
    assert "Most money in a day 2.5 ETH Most requests in a minute 30 Web pages https://a.example" in text_of(page)
    assert 'name="spend_per_day" inputmode="decimal" maxlength="50" value="2.5"' in page.text
    changed = await browser.post(f"{path}/change", name="Page", concurrent="2", origins="https://b.example\r\n")
    assert (changed.status_code, changed.headers["location"]) == (303, path)
    text = text_of(await browser.page(path))
    assert "Most requests at once 2 Web pages https://b.example" in text
    assert "Most money in a day 2.5" not in text
    assert (await browser.post(f"{path}/change", name="Page", origins="*")).status_code == 400
    assert (await browser.post(f"{path}/revoke", name="Page")).status_code == 303
    assert (await browser.post(f"{path}/change", name="Late")).status_code == 409


async def test_an_increase_is_shown_and_ended(used: Tenant) -> None:
    """Hazard: nobody sees why a limit does not hold, and the usual one cannot be raised in the portal."""
    browser, viewer = await used.member("owner"), await used.member("viewer")
    _, key_id = await created(browser, used, name="Raised", requests_per_minute="60", concurrent="2")
    path = f"{used.path}/keys/{key_id}"
    assert "End the temporary increase" not in text_of(await browser.page(path))
    async with used.deployment.store() as store:
        until = datetime(2999, 12, 1, tzinfo=UTC)
        increase = increase_of({"requests_per_minute": 100}, until)
        await ApiKeys(store.redis, None).change(key_id, increase=increase)
    shown = "Most requests in a minute 60 (100 until 2999-12-01 00:00 UTC) Most requests at once 2"
    page = await browser.page(path)
    assert shown in text_of(page)
    assert 'name="end_increase"' in page.text
    assert shown in text_of(await browser.page(f"{used.path}/try", key=key_id))
    assert "end_increase" not in (await viewer.page(path)).text
    assert (await viewer.post(f"{path}/change", end_increase="on")).status_code == 403
    raised = {"name": "Raised", "requests_per_minute": "1000", "concurrent": "2"}
    refused = await browser.post(f"{path}/change", **raised)
    assert (refused.status_code, "must be above the usual 1000" in text_of(refused)) == (400, True)
    assert (await browser.post(f"{path}/change", **raised, end_increase="on")).status_code == 303
    page = await browser.page(path)
    assert "Most requests in a minute 1,000 Most requests at once 2" in text_of(page)
    assert "end_increase" not in page.text


async def test_an_increase_that_has_ended_is_not_shown(used: Tenant) -> None:
    browser = await used.member("owner")
    async with used.deployment.store() as store:
        increase = increase_of({"concurrent": 100}, datetime(2020, 1, 1, tzinfo=UTC))
        record, _ = await ApiKeys(store.redis, None).create(used.app, limits={"concurrent": 60}, increase=increase)
    page = await browser.page(f"{used.path}/keys/{record.key_id}")
    assert "Most requests at once 60 Rotate" in text_of(page)
    assert "end_increase" not in page.text


async def test_a_key_with_as_many_web_pages_as_the_api_takes_can_be_changed(used: Tenant) -> None:
    """Hazard: the form of a key that the API took is refused, whatever is changed in it."""
    browser = await used.member("owner")
    origins = [f"https://{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.p{number:03}.example" for number in range(100)]
    _, key_id = await created(browser, used, name="Many", origins="\r\n".join(origins))
    path = f"{used.path}/keys/{key_id}"
    assert (await browser.post(f"{path}/change", name="Pages", origins="\r\n".join(origins))).status_code == 303
    assert origins[99] in text_of(await browser.page(path))
    for wrong in ("\r\n".join([*origins, "https://e.example"]), f"https://{'a' * 300}.example"):
        refused = await browser.post(f"{path}/change", name="Pages", origins=wrong)
        assert (refused.status_code, "Web pages: expected at most 100" in text_of(refused)) == (400, True)


async def test_keys_of_a_suspended_user_are_not_called_active(used: Tenant) -> None:
    """Hazard: a developer looks for the reason of refusals in everything but the user."""
    browser = await used.member("owner")
    location = (await browser.post(f"{used.path}/users", external_id="to be suspended")).headers["location"]
    _, key_id = await created(browser, used, name="Asleep", user="to be suspended")
    path = f"{used.path}/keys/{key_id}"
    assert "Status Active" in text_of(await browser.page(path))
    assert key_id in (await browser.page(f"{used.path}/try")).text
    assert (await browser.post(f"{location}/status", status="suspended")).status_code == 303
    assert "Status User suspended" in text_of(await browser.page(path))
    listed = (await browser.page(f"{used.path}/keys")).text.partition(key_id)[2].partition("</tr>")[0]
    assert "User suspended" in listed
    assert f"Asleep {key_id} User suspended" in text_of(await browser.page(location))
    assert key_id not in (await browser.page(f"{used.path}/try")).text
    assert (await browser.get(f"{used.path}/try", key=key_id)).status_code == 404
    assert (await browser.post(f"{path}/revoke", name="Asleep")).status_code == 303, "it can be ended all the same"
    assert "Status Revoked" in text_of(await browser.page(path))


async def test_a_form_that_is_sent_twice_makes_one_key(used: Tenant) -> None:
    """Hazard: the page with the new key is loaded again, which sends the form again, and a second key is made."""
    browser = await used.member("owner")
    sent = {"form_id": new_form_id(), "name": "once only"}
    pages = await asyncio.gather(*(browser.post(f"{used.path}/keys", **sent) for _ in range(8)))
    assert sorted(each.status_code for each in pages) == [200, *[409] * 7]
    again = await browser.post(f"{used.path}/keys", **{**sent, "name": "another"})
    assert (again.status_code, "The form was sent already" in text_of(again)) == (409, True)
    assert f"{used.path}/keys" in read_page(again).links
    shown = (await browser.page(f"{used.path}/keys")).text
    assert (shown.count(">once only<"), shown.count(">another<")) == (1, 0)

    [made] = [each for each in pages if each.status_code == 200]
    path = f"{used.path}/keys/{KEY.findall(made.text)[0].split('_')[1]}/rotate"
    rotation = {"form_id": new_form_id(), "overlap": "24"}
    statuses = [(await browser.post(path, **rotation)).status_code for _ in range(2)]
    assert (statuses, (await browser.page(f"{used.path}/keys")).text.count(">once only<")) == ([200, 409], 2)


async def test_a_form_that_was_refused_may_be_corrected(used: Tenant) -> None:
    browser = await used.member("owner")
    form = new_form_id()
    assert (await browser.post(f"{used.path}/keys", form_id=form, last_day="tomorrow")).status_code == 400
    assert (await browser.post(f"{used.path}/keys", form_id=form, last_day="2999-12-31")).status_code == 200
    other = await used.member("owner")
    assert (await other.post(f"{used.path}/keys", form_id=form)).status_code == 200, "ids are those of a session"
    for wrong in ("", "a", "a" * 17, "{}:" * 5 + "a"):
        assert (await browser.post(f"{used.path}/keys", form_id=wrong)).status_code == 400, wrong


async def test_the_last_use_is_shown(used: Tenant) -> None:
    browser = await used.member("viewer")
    key = (await used.deployment.key(used.app)).split("_")[1]  # no worker notes a use of it
    async with used.deployment.store() as store:
        await KeyUse(store.redis).record({key: used.app}, 1_795_000_000)
    assert "2026-11-18 11:05:00 UTC" in text_of(await browser.page(f"{used.path}/keys/{key}"))


async def test_fields_that_cannot_be_meant_are_refused(used: Tenant) -> None:
    browser = await used.member("owner")
    before = await browser.shown(f"{used.path}/keys")
    for fields, status in (
        ({"name": "n" * 101}, 400),
        ({"name": "a\nb"}, 400),
        ({"last_day": "tomorrow"}, 400),
        ({"last_day": "2020-01-01"}, 400),
        ({"spend_per_month": "-1"}, 400),
        ({"spend_per_month": "0"}, 400),
        ({"spend_per_day": "1e3"}, 400),
        ({"requests_per_minute": "0"}, 400),
        ({"requests_per_minute": "1.5"}, 400),
        ({"concurrent": "9" * 16}, 400),
        ({"origins": "*"}, 400),
        ({"origins": "https://a.example/path"}, 400),
        ({"origins": "javascript:alert(1)"}, 400),
        ({"user": "nobody"}, 404),
    ):
        assert (await browser.post(f"{used.path}/keys", **fields)).status_code == status, fields
    assert await browser.shown(f"{used.path}/keys") == before


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("1", 18, 10**18),
        ("0.000000000000000001", 18, 1),
        ("1000000000", 18, 10**27),
        ("25.50", 2, 2_550),
        ("25.500", 2, 2_550),
        ("7", 0, 7),
        ("7.0", 0, 7),
    ],
)
async def test_money_is_exact(text: str, decimals: int, units: int) -> None:
    assert atomic_units(text, Currency(code="XYZ", decimals=decimals)) == units


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.0", "-1", "+1", "1e3", "1,5", ".5", "1.", "1_000", "\u0661", "1000000000.1", "0.0000000000000000001"],
)
async def test_money_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        atomic_units(text, ETH)


async def test_members_and_overlaps() -> None:
    nothing = dict.fromkeys(LIMIT_NAMES)
    assert key_members({}, ETH) == {"name": "", "limits": nothing, "origins": []}
    some = {"spend_total": "0.5", "concurrent": "3", "origins": "https://a.example https://b.example"}
    assert key_members(some, ETH) == {
        "name": "",
        "limits": {**nothing, "spend_total": str(5 * 10**17), "concurrent": 3},
        "origins": ["https://a.example", "https://b.example"],
    }
    assert overlap_of({}).days == 1
    with pytest.raises(Refusal):
        overlap_of({"overlap": "25"})
