"""Pages that change in their place: what is shown is right, errors are seen, and an ended session leads to sign-in."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import Route

from tests.portal.browser import developer_of, signed_in
from tests.portal.chromium.tab import Tab, tab_of
from tests.portal.conftest import IMAGE, Tenant, tenant
from tests.support.builder import bearer
from tests.support.deployment import Deployment, eventually

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]
_SHOWN_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"
_HIDDEN = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s})"


async def mark(tab: Tab) -> None:
    """Mark the document, which a full load would replace."""
    await tab.page.evaluate("document.documentElement.dataset.mark = 'same'")


async def is_marked(tab: Tab) -> bool:
    """Return True if the page was not loaded anew."""
    return bool(await tab.page.evaluate("document.documentElement.dataset.mark === 'same'"))


async def fact(tab: Tab, name: str, value: str) -> None:
    """Wait until the overview says so."""
    await tab.page.locator(".fact").filter(has_text=name).filter(has_text=value).wait_for()


async def test_the_overview_renews_itself_while_somebody_looks(chromium: Chromium, running: Deployment) -> None:
    mine = await tenant(running, "Renewed")
    async with tab_of(chromium, running, await mine.member("viewer")) as tab:
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(request.url))
        await tab.page.clock.install()
        await tab.at(mine.path)
        await mark(tab)
        await fact(tab, "Running now", "0")
        async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False, timeout=30) as http:
            held = {**bearer(mine.key), "x-mock-gateway": "hold=renewed"}
            sent = asyncio.create_task(http.post("/text-to-image", json=IMAGE, headers=held))
            await eventually(lambda: len(running.forwarded(mine.app)) == 1)
            request_id = running.forwarded(mine.app)[0].request_id or ""
            await tab.page.evaluate(_HIDDEN % "true")
            asked.clear()
            await tab.page.clock.run_for(60_000)
            assert asked == [], "nobody looks"
            await tab.page.evaluate(_HIDDEN % "false")
            await tab.page.clock.run_for(5_000)
            await fact(tab, "Running now", "1")
            await fact(tab, "Reserved", "700.000000000000000001 ETH")
            await tab.page.get_by_role("link", name=request_id, exact=True).wait_for()
            running.gateway.release("renewed")
            assert (await sent).status_code == 200
        await running.settled(2, mine.app)
        await tab.page.evaluate(_SHOWN_AGAIN)
        await fact(tab, "Running now", "0")
        await fact(tab, "Requests this month", "1")
        assert await is_marked(tab)
        assert not await tab.page.locator("#not-renewed").is_visible()


@pytest.mark.slow
async def test_what_matters_is_announced_when_it_changes(chromium: Chromium, running: Deployment) -> None:
    """Hazard: somebody who cannot see the page is told of nothing, or of every figure every five seconds."""
    mine = await tenant(running, "Announced")
    async with tab_of(chromium, running, await mine.member("viewer")) as tab:
        await tab.page.clock.install()
        await tab.at(mine.path)
        region = tab.page.locator("main [aria-live=polite]")
        assert await region.count() == 1
        assert await region.inner_text() == "Nothing runs now."
        assert await region.locator("table, dl").count() == 0
        await region.evaluate("region => { region.mark = 'same' }")
        async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False, timeout=30) as http:
            held = {**bearer(mine.key), "x-mock-gateway": "hold=announced"}
            sent = asyncio.create_task(http.post("/text-to-image", json=IMAGE, headers=held))
            await eventually(lambda: len(running.forwarded(mine.app)) == 1)
            await tab.page.clock.run_for(5_000)
            await tab.page.get_by_text("Requests run now.").wait_for(state="attached")
            running.gateway.release("announced")
            assert (await sent).status_code == 200
        await running.settled(2, mine.app)
        await tab.page.evaluate(_SHOWN_AGAIN)
        await tab.page.get_by_text("Nothing runs now.").wait_for(state="attached")
        assert await region.evaluate("region => region.mark") == "same", "a region that is new says nothing"


@pytest.mark.slow
async def test_filters_change_the_page_in_its_place(chromium: Chromium, running: Deployment, used: Tenant) -> None:
    async with tab_of(chromium, running, await used.member("viewer")) as tab:
        await tab.at(f"{used.path}/usage")
        await mark(tab)
        await tab.page.locator("select[name=by]").select_option("Workload")
        await tab.page.get_by_role("button", name="Show").press("Enter")
        await tab.page.get_by_role("rowheader", name="Text to image").wait_for()
        assert "by=workload" in tab.page.url
        assert await tab.page.evaluate("document.activeElement.id") == "show", "who uses a keyboard goes on from there"
        await tab.click("Last month")
        await tab.page.get_by_text("Nothing was used from").wait_for()
        assert "by=workload" in tab.page.url
        assert await tab.page.locator("main").count() == 1
        assert await is_marked(tab)
        shown = tab.page.url
        await tab.page.reload()
        await tab.page.get_by_text("Nothing was used from").wait_for()
        assert tab.page.url == shown

        await tab.page.go_back()
        await tab.page.get_by_role("rowheader", name="Text to image").wait_for()
        assert await tab.page.locator("select[name=by]").input_value() == "workload"
        await tab.page.go_back()
        await tab.page.wait_for_url(f"**{used.path}/usage")
        await tab.page.get_by_role("columnheader", name="Day").wait_for()


async def announced(tab: Tab, words: str) -> None:
    """Wait until a screen reader was told so, by the region that has been there from the beginning."""
    await tab.page.locator("#announcement[data-mark]").get_by_text(words, exact=True).wait_for(state="attached")


@pytest.mark.slow
async def test_what_a_filter_has_found_is_announced(chromium: Chromium, running: Deployment, used: Tenant) -> None:
    """Hazard: somebody who cannot see the page presses a button, and hears nothing."""
    async with tab_of(chromium, running, await used.member("owner")) as tab:
        await tab.at(f"{used.path}/usage")
        region = tab.page.locator("#announcement")
        assert await region.inner_text() == "", "what was just loaded is read anyway"
        await region.evaluate("region => { region.dataset.mark = 'same' }")
        await tab.page.get_by_label("From").fill("2020-01-01")
        await tab.page.get_by_label("To").fill("2020-01-31")
        await tab.click("Show", "button")
        await announced(tab, "0 requests from 2020-01-01 to 2020-01-31, by day.")
        await tab.page.get_by_label("From").fill("2020-02-01")
        await tab.click("Show", "button")
        await tab.page.get_by_role("alert").get_by_text("The first day is after the last one.").wait_for()
        await tab.page.locator("#announcement:empty").wait_for(state="attached")
        assert await tab.page.locator("[aria-invalid]").get_attribute("name") == "from"
        await tab.at(f"{used.path}/audit")
        await region.evaluate("region => { region.dataset.mark = 'same' }")
        await tab.page.get_by_label("Action").fill("none")
        await tab.page.get_by_role("button", name="Show").press("Enter")
        await announced(tab, "0 lines shown.")
        assert await tab.page.evaluate("document.activeElement.id") == "show", "who uses a keyboard goes on from there"


@pytest.mark.slow
async def test_what_is_refused_in_its_place_is_shown(chromium: Chromium, running: Deployment, used: Tenant) -> None:
    async with tab_of(chromium, running, await used.member("viewer")) as tab:
        await tab.at(f"{used.path}/usage")
        await mark(tab)
        await tab.page.get_by_label("From").fill("2026-02-01")
        await tab.page.get_by_label("To").fill("2026-01-01")
        await tab.click("Show", "button")
        await tab.page.get_by_text("The first day is after the last one.").wait_for()
        assert await is_marked(tab)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["gone", "of another", "failed"])
async def test_what_cannot_be_renewed_stays_and_says_so(
    chromium: Chromium, running: Deployment, used: Tenant, fault: str
) -> None:
    """Hazard: nothing is there any more, or old figures stand there as if they were new."""

    async def fail(route: Route) -> None:
        if fault == "gone":
            await route.abort()
        else:
            await route.fulfill(
                status=502 if fault == "failed" else 200, body="<h1>A proxy</h1>", content_type="text/html"
            )

    async with tab_of(chromium, running, await used.member("viewer")) as tab:
        notice = tab.page.locator("#not-renewed")
        for path, act in (("", _SHOWN_AGAIN), ("/usage", "document.getElementById('show').click()")):
            if fault == "of another" and not path:
                continue  # a part of a page has nothing that tells it from other text
            await tab.at(used.path + path)
            before = await tab.page.locator("main").inner_text()
            await tab.page.route("**/portal/apps/**", fail)
            await tab.page.evaluate(act)
            await notice.wait_for()
            assert await tab.page.locator("main").inner_text() == before
            await tab.page.unroute("**/portal/apps/**")
            await tab.page.evaluate(act)
            await notice.wait_for(state="hidden")
        tab.errors.clear()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", "/usage"])
async def test_an_ended_session_leads_to_the_sign_in(
    chromium: Chromium, running: Deployment, used: Tenant, path: str
) -> None:
    developer = await developer_of(running, {used.app: "viewer"})
    member = await signed_in(running, developer)
    async with tab_of(chromium, running, member) as tab:
        await tab.at(used.path + path)
        assert (await member.post("/portal/sessions/end-all")).status_code == 303
        await tab.page.evaluate("document.getElementById('show').click()" if path else _SHOWN_AGAIN)
        await tab.heading("Sign in")
        assert tab.page.url == f"{running.public}/portal/sign-in"
