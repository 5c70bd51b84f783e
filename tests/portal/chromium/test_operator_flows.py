"""What operators do in the portal, in a real browser, with scripts and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from playwright.async_api import Browser as Chromium

from middlewares.auth.records import Role
from tests.portal.chromium.hostile import refused_request
from tests.portal.chromium.tab import Tab, tab_of
from tests.portal.conftest import tenant
from tests.portal.operator.conftest import HOME, operator_in, operator_link, operator_of
from tests.support.deployment import Deployment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"]),
]


@asynccontextmanager
async def administrator(chromium: Chromium, running: Deployment, javascript: bool) -> AsyncIterator[Tab]:
    """Open a tab of an operator who may do everything."""
    browser = await operator_in(running, await operator_of(running, Role.ADMIN))
    opened: AbstractAsyncContextManager[Tab] = tab_of(chromium, running, browser, javascript=javascript)
    async with opened as tab:
        yield tab


async def test_an_operator_comes_and_goes(chromium: Chromium, running: Deployment, javascript: bool) -> None:
    link = await operator_link(running, await operator_of(running, Role.SUPPORT))
    async with tab_of(chromium, running, javascript=javascript) as tab:
        await tab.at(link)
        await tab.click("Sign in", "button")
        await tab.heading("Today")
        for page in ("Tenants", "Plans", "Gateways", "Streams", "Attention", "Refusals", "Audit", "Sessions"):
            await tab.click(page)
            await tab.page.locator("h1").get_by_text("essions" if page == "Sessions" else page).wait_for()
        await tab.click("Sign out", "button")
        await tab.heading("Sign in")


async def test_a_tenant_is_changed(chromium: Chromium, running: Deployment, javascript: bool) -> None:
    mine = await tenant(running, f"Changed {javascript}")
    async with administrator(chromium, running, javascript) as tab:
        await tab.at(f"{HOME}/tenants")
        await tab.page.get_by_label("Name or client id").fill(mine.app)
        await tab.click("Search", "button")
        await tab.click(f"Changed {javascript}")
        await tab.page.get_by_label("Plan from the next request on").select_option("narrow")
        await tab.click("Change the plan", "button")
        await tab.page.locator(".fact", has_text="narrow").wait_for()
        await tab.page.get_by_label("Amount in ETH").fill("2.5")
        await tab.click("Grant", "button")
        await tab.page.get_by_text("of 1,000,000,002.5 ETH granted").wait_for()
        await tab.click("Suspend the app", "button")
        await tab.page.locator(".fact", has_text="Suspended").wait_for()
        await tab.click("Resume the app", "button")
        await tab.page.locator(".fact", has_text="Active").wait_for()


async def test_an_operator_looks_at_a_tenant_as_its_viewer(
    chromium: Chromium, running: Deployment, javascript: bool
) -> None:
    mine = await tenant(running, "Seen")
    async with administrator(chromium, running, javascript) as tab:
        await tab.at(f"{HOME}/tenants/{mine.app}")
        await tab.click("Look as a viewer", "button")
        await tab.heading("Overview")
        await tab.page.get_by_text("Nothing can be changed until you end that.").wait_for()
        await tab.click("Keys")
        await tab.heading("Keys")
        assert await tab.page.get_by_role("button", name="Create the key").count() == 0
        await tab.click("End it", "button")
        await tab.page.get_by_role("link", name="Tenants", exact=True).wait_for()
        await tab.at(mine.path, 404)


async def test_a_gateway_is_drained_and_resumed(chromium: Chromium, running: Deployment, javascript: bool) -> None:
    async with administrator(chromium, running, javascript) as tab:
        await tab.at(f"{HOME}/gateways")
        await tab.page.get_by_role("button", name="Drain").click()
        await tab.page.get_by_text("Every gateway is drained: new work is refused.").wait_for()
        await tab.page.get_by_role("button", name="Resume").click()
        await tab.page.get_by_role("button", name="Drain").wait_for()


async def test_a_refusal_is_explained_to_an_operator(chromium: Chromium, running: Deployment, javascript: bool) -> None:
    narrow = await tenant(running, "Refused", plan="narrow")
    await narrow.use(narrow.key)
    request_id = await refused_request(narrow)
    async with administrator(chromium, running, javascript) as tab:
        await tab.at(f"{HOME}/refusals")
        await tab.page.get_by_label("Id of any request").fill(request_id)
        await tab.click("Explain it", "button")
        await tab.heading("Refused request")
        assert "1 of 1 request were used" in await tab.text()


async def test_another_plan_is_tried_on_a_month(chromium: Chromium, running: Deployment, javascript: bool) -> None:
    mine = await tenant(running, "Compared")
    await mine.use(mine.key)
    await running.settled(2, mine.app)
    async with administrator(chromium, running, javascript) as tab:
        await tab.at(f"{HOME}/plans")
        await tab.page.get_by_label("Client id").fill(mine.app)
        await tab.page.locator("select[name=plan]").select_option("narrow")
        await tab.click("Compare", "button")
        await tab.page.get_by_role("heading", level=1, name="under the plan narrow").wait_for()
        assert "700.000000000000000001 ETH" in await tab.text()


async def test_the_audit_log_is_searched_and_verified(
    chromium: Chromium, running: Deployment, javascript: bool
) -> None:
    async with administrator(chromium, running, javascript) as tab:
        await tab.at(f"{HOME}/audit")
        await tab.page.get_by_label("Action").fill("operator")
        await tab.click("Show", "button")
        await tab.page.wait_for_url("**action=operator*")
        await tab.page.get_by_text("operator.portal_sign_in").first.wait_for()
        await tab.click("Verify the chain")
        await tab.page.locator("h1").wait_for()
        assert "/audit/verification" in tab.page.url
