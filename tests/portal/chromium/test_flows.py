"""What people do in the portal, in a real browser, with scripts and without: each of it, by keyboard, in few clicks."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium

from proxy.reporting.dates import month_of, redis_today
from tests.portal.browser import developer_of, link_for, signed_in
from tests.portal.chromium.hostile import refused_request
from tests.portal.chromium.tab import Tab, tab_of
from tests.portal.conftest import Tenant, tenant
from tests.support.deployment import Deployment

pytestmark = [
    pytest.mark.ci,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.parametrize(
        "javascript", [pytest.param(True, id="javascript"), pytest.param(False, id="plain", marks=pytest.mark.slow)]
    ),
]
Refused = tuple[Tenant, str]


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def refused(running: Deployment) -> Refused:
    """Return an app, and the id of a request of it that was refused."""
    narrow = await tenant(running, "Narrow House", plan="narrow")
    await narrow.use(narrow.key)
    return narrow, await refused_request(narrow)


@pytest.mark.slow
async def test_signing_in_and_out(chromium: Chromium, running: Deployment, used: Tenant, javascript: bool) -> None:
    link = await link_for(running, await developer_of(running, {used.app: "owner"}))
    async with tab_of(chromium, running, javascript=javascript) as tab:
        await tab.at(link)
        await tab.click("Sign in", "button")
        await tab.heading("Overview")
        assert "Picture House" in await tab.text()
        await tab.click("Sessions")
        await tab.heading("Your sessions")
        assert "HeadlessChrome" in await tab.text()
        await tab.click("Sign out", "button")
        await tab.heading("Sign in")
        await tab.page.goto(running.public + used.path)
        await tab.heading("Sign in")


@pytest.mark.slow
async def test_a_session_is_ended_elsewhere(
    chromium: Chromium, running: Deployment, used: Tenant, javascript: bool
) -> None:
    developer = await developer_of(running, {used.app: "owner"})
    other = await signed_in(running, developer)
    async with tab_of(chromium, running, await signed_in(running, developer), javascript=javascript) as tab:
        await tab.at("/portal/sessions")
        await tab.page.get_by_role("row").filter(has_not_text="This one").get_by_role("button", name="End").click()
        await tab.page.get_by_role("row").nth(2).wait_for(state="detached")
        assert (await other.get(used.path)).status_code == 303
        await tab.click("End all, and sign out everywhere", "button")
        await tab.heading("Sign in")


async def test_the_life_of_a_key(chromium: Chromium, running: Deployment, used: Tenant, javascript: bool) -> None:
    async with tab_of(chromium, running, await used.member("owner"), javascript=javascript) as tab:
        await tab.at(f"{used.path}/keys")
        name = f"kiosk {javascript}"
        await tab.page.get_by_label("Name").fill(name)
        await tab.page.get_by_text("Limits", exact=True).click()
        await tab.page.get_by_label("Last day").fill("2999-12-31")
        await tab.page.get_by_label("Most money in a month").fill("25.5")
        await tab.click("Create the key", "button")
        await tab.heading("Copy the new key now")
        first = await tab.page.locator(".secret").inner_text()
        await tab.page.reload()  # sends the form again
        await tab.heading("The form was sent already")
        await tab.click("What it has made")
        assert await tab.page.get_by_role("link", name=name, exact=True).count() == 1
        await tab.click(name)
        await tab.heading(name)
        assert "25.5 ETH" in await tab.text()
        await tab.page.get_by_label("The old key goes on working").select_option("not at all")
        await tab.click("Rotate the key", "button")
        await tab.heading("Copy the new key now")
        second = await tab.page.locator(".secret").inner_text()
        assert {first[:4], second[:4]} == {"tgk_"}
        assert first != second
        await tab.click("I have copied it")
        await tab.page.goto(f"{running.public}{used.path}/keys/{second.split('_')[1]}")
        await tab.page.get_by_label(name).fill(name)
        await tab.click("Revoke the key", "button")
        await tab.heading("Keys")
        row = tab.page.get_by_role("row").filter(has_text=second.split("_")[1])
        assert "Revoked" in await row.inner_text()


@pytest.mark.slow
async def test_a_double_click_makes_one_key_and_shows_it(
    chromium: Chromium, running: Deployment, used: Tenant, javascript: bool
) -> None:
    """Hazard: the second click cancels the response with the new key, and what is shown is that it was sent before."""
    async with tab_of(chromium, running, await used.member("owner"), javascript=javascript) as tab:
        await tab.at(f"{used.path}/keys")
        name = f"twice {javascript}"
        await tab.page.get_by_label("Name").fill(name)
        await tab.page.get_by_role("button", name="Create the key").dblclick()
        shown = tab.page.get_by_role("heading", name=re.compile("Copy the new key now|The form was sent already"))
        await shown.wait_for()
        assert not javascript or "Copy" in await shown.inner_text()
        await tab.at(f"{used.path}/keys")
        assert await tab.page.get_by_role("link", name=name, exact=True).count() == 1


@pytest.mark.slow
async def test_a_form_whose_sending_was_stopped_can_be_sent_again(
    chromium: Chromium, running: Deployment, used: Tenant, javascript: bool
) -> None:
    """Hazard: the button is dead, and nothing says so, until the page is loaded again."""
    if not javascript:
        pytest.skip("only a script keeps a form from being sent")
    async with tab_of(chromium, running, await used.member("owner")) as tab:
        await tab.page.clock.install()
        await tab.at(f"{used.path}/keys")
        await tab.page.get_by_label("Name").fill("stopped")
        await tab.page.route(f"**{used.path}/keys", lambda route: route.abort("aborted"), times=1)
        async with tab.page.expect_event("requestfailed"):
            await tab.click("Create the key", "button")
        await tab.page.clock.fast_forward(10_000)
        await tab.click("Create the key", "button")
        await tab.heading("Copy the new key now")


@pytest.mark.slow
async def test_usage_and_its_file(chromium: Chromium, running: Deployment, used: Tenant, javascript: bool) -> None:
    async with tab_of(chromium, running, await used.member("billing"), javascript=javascript) as tab:
        await tab.at(f"{used.path}/usage")
        await tab.page.locator("select[name=by]").select_option("Model")
        await tab.click("Show", "button")
        await tab.page.wait_for_url("**by=model*")
        await tab.page.get_by_role("rowheader", name="stabilityai/sdxl-turbo").wait_for()
        async with tab.page.expect_download() as download:
            await tab.click("Download CSV")
        text = (await (await download.value).path()).read_text()
        [row] = csv.DictReader(io.StringIO(text))
        assert (row["model"], row["request_count"]) == ("stabilityai/sdxl-turbo", "5")


@pytest.mark.slow
async def test_a_charge_is_found_and_explained(
    chromium: Chromium, running: Deployment, used: Tenant, javascript: bool
) -> None:
    [*_, event] = [each for each in await running.events(used.app) if each["type"] == "usage"]
    async with tab_of(chromium, running, await used.member("viewer"), javascript=javascript) as tab:
        await tab.at(f"{used.path}/requests")
        await tab.page.get_by_label("Model").fill("no such model")
        await tab.click("Show", "button")
        await tab.page.get_by_text("There are no requests like this.").wait_for()
        await tab.page.get_by_label("Id of a request").fill(event["id"])
        await tab.click("Explain it", "button")
        await tab.heading("Settled request")
        assert tab.page.url.endswith(event["id"])
        assert "The lines of its price add up to it." in await tab.text()


@pytest.mark.slow
async def test_a_newcomer_needs_few_clicks(
    chromium: Chromium, running: Deployment, refused: Refused, javascript: bool
) -> None:
    """A key takes at most 3, why a request was refused at most 4, and last month as a file at most 3."""
    narrow, request_id = refused

    async def key(tab: Tab) -> None:
        await tab.click("Keys")
        await tab.page.get_by_label("Name").fill("mine")
        await tab.click("Create the key", "button")
        await tab.heading("Copy the new key now")

    async def dispute(tab: Tab) -> None:
        await tab.click("Requests")
        await tab.click(request_id)
        await tab.heading("Refused request")

    async def last_month(tab: Tab) -> None:
        async with running.store() as store:
            month = month_of((await redis_today(store.redis)).replace(day=1) - timedelta(days=1))
        await tab.click("Usage")
        await tab.click("Last month")
        await tab.page.wait_for_url(f"**from={month.first}&to={month.last}*")
        async with tab.page.expect_download() as download:
            await tab.click("Download CSV")
        assert (await download.value).suggested_filename.endswith(f"day-{month.first}-{month.last}.csv")

    async with tab_of(chromium, running, await narrow.member("owner"), javascript=javascript) as tab:
        for task, most in ((key, 3), (dispute, 4), (last_month, 3)):
            await tab.at(narrow.path)
            tab.clicks = 0
            await task(tab)
            print(f"{task.__name__}: {tab.clicks} clicks of at most {most}")
            assert tab.clicks <= most


@pytest.mark.slow
async def test_a_keyboard_is_enough_for_a_key_and_a_dispute(
    chromium: Chromium, running: Deployment, refused: Refused, javascript: bool
) -> None:
    narrow, request_id = refused
    async with tab_of(chromium, running, await narrow.member("owner"), javascript=javascript) as tab:
        keyboard = tab.page.keyboard
        await tab.at(narrow.path)
        await tab.press_until("nav a[href$='/keys']")
        await keyboard.press("Enter")
        await tab.heading("Keys")
        await tab.press_until("input[name=name]")
        await keyboard.type("typed")
        await tab.press_until("main button")
        await keyboard.press("Enter")
        await tab.heading("Copy the new key now")
        await tab.press_until("a.button")
        await keyboard.press("Enter")
        await tab.page.get_by_role("link", name="typed", exact=True).first.wait_for()

        await tab.press_until("nav a[href$='/requests']")
        await keyboard.press("Enter")
        await tab.heading("Requests")
        await tab.press_until("input[name=id]")
        await keyboard.type(request_id)
        await keyboard.press("Enter")
        await tab.heading("Refused request")
        assert "1 of 1 request were used" in await tab.text()
