"""What members of an app do beside keys and requests, in a real browser, with scripts and without."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser as Chromium

from tests.portal.chromium.tab import tab_of
from tests.portal.conftest import Tenant, tenant
from tests.support.deployment import Deployment
from tests.webhooks.notifications.receiver import Receiver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"]),
]


async def test_the_life_of_a_user(chromium: Chromium, running: Deployment, javascript: bool) -> None:
    mine = await tenant(running, "Users in a browser")
    async with tab_of(chromium, running, await mine.member("developer"), javascript=javascript) as tab:
        await tab.at(mine.path)
        await tab.click("Users")
        await tab.page.get_by_label("External id").fill("bob")
        await tab.page.get_by_label("Email").fill("bob@example.com")
        await tab.click("Add the user", "button")
        await tab.heading("bob")
        await tab.click("Suspend the user", "button")
        await tab.page.get_by_role("heading", name="Suspended").wait_for()
        await tab.click("Let the user work again", "button")
        await tab.click("Create a key for this user")
        await tab.page.get_by_label("Name").fill("bob's")
        await tab.click("Create the key", "button")
        await tab.heading("Copy the new key now")
        await tab.click("Users")
        await tab.page.get_by_label("Find a user").fill("bob")
        await tab.click("Find", "button")
        await tab.heading("bob")
        await tab.page.get_by_role("link", name="bob's").wait_for()


async def test_a_statement_and_its_files(
    chromium: Chromium, running: Deployment, used: Tenant, javascript: bool
) -> None:
    period = f"{datetime.now(UTC):%Y-%m}"
    async with tab_of(chromium, running, await used.member("billing"), javascript=javascript) as tab:
        await tab.at(used.path)
        await tab.click("Statements")
        await tab.click(period)
        await tab.heading(f"Statement {period}")
        texts = {}
        for kind in ("CSV", "JSON"):
            async with tab.page.expect_download() as download:
                await tab.click(f"Download {kind}")
            texts[kind] = (await (await download.value).path()).read_text()
        amount = sum(int(row["amount"]) for row in csv.DictReader(io.StringIO(texts["CSV"])))
        assert str(amount) == json.loads(texts["JSON"])["totals"]["amount"]


async def test_the_life_of_a_webhook(
    chromium: Chromium, running: Deployment, receiver: Receiver, javascript: bool
) -> None:
    mine = await tenant(running, "Webhooks in a browser")
    receiver.secrets.clear()
    async with tab_of(chromium, running, await mine.member("owner"), javascript=javascript) as tab:
        await tab.at(mine.path)
        await tab.click("Webhooks")
        await tab.page.get_by_label("URL").fill(receiver.url)
        await tab.page.get_by_label("A key was revoked").check()
        await tab.click("Register the URL", "button")
        await tab.heading("Copy the secret now")
        await tab.page.reload()  # sends the form again
        await tab.heading("The form was sent already")
        await tab.click("What it has made")
        await tab.click(receiver.url)
        await tab.click("Send a test", "button")
        await tab.heading("The test was taken")
        await tab.click("Back to the webhook")
        assert await tab.page.get_by_label("A key was revoked").is_checked()
        await tab.click("Pause", "button")
        await tab.page.get_by_text("Paused", exact=True).wait_for()
        await tab.click("Let it go on", "button")
        await tab.page.get_by_text("Active", exact=True).wait_for()
        await tab.page.get_by_label("Type ").fill(tab.page.url.rpartition("/")[2])
        await tab.click("Remove the endpoint", "button")
        await tab.page.get_by_text("No URL is registered yet.").wait_for()


async def test_examples_follow_the_chosen_key(
    chromium: Chromium, running: Deployment, used: Tenant, javascript: bool
) -> None:
    name = f"only chats {javascript}"
    code, _, error = await running.cli("keys", "create", "--app", used.app, "--name", name, "--workload", "llm")
    assert code == 0, error
    async with tab_of(chromium, running, await used.member("developer"), javascript=javascript) as tab:
        await tab.at(f"{used.path}/try")
        await tab.page.get_by_role("heading", name="An image with curl").wait_for()
        chosen = tab.page.locator("select[name=key]")
        await chosen.select_option(await chosen.locator("option", has_text=name).get_attribute("value"))
        await tab.click("Show", "button")
        await tab.page.wait_for_url("**key=*")
        await tab.page.get_by_role("heading", name="An image with curl").wait_for(state="detached")
        await tab.page.get_by_role("heading", name="A chat with the openai client").wait_for()


async def test_what_was_done_is_found(chromium: Chromium, running: Deployment, used: Tenant, javascript: bool) -> None:
    owner = await used.member("owner")
    await owner.post(f"{used.path}/users", external_id="seen")
    async with tab_of(chromium, running, await used.member("viewer"), javascript=javascript) as tab:
        await tab.at(f"{used.path}/audit")
        await tab.page.get_by_label("Action").fill("user.create")
        await tab.click("Show", "button")
        await tab.page.wait_for_url("**action=user.create*")
        found = {await each.inner_text() for each in await tab.page.locator("tbody th").all()}
        assert found == {"user.create"}
