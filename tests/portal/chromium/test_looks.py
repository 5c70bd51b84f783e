"""Every page can be read by everybody, whatever it holds: on a phone, in the dark, by a screen reader, by keyboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Container, Iterator
from itertools import product

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser as Chromium
from playwright.async_api import FloatRect, Locator

from middlewares.auth.records import Role
from tests.portal.chromium.hostile import LONG, Hostile, owner
from tests.portal.chromium.pixels import Colour, Picture, contrast, picture
from tests.portal.chromium.screens import OPERATOR_SCREENS, SCREENS, Screen
from tests.portal.chromium.tab import DESKTOP, PAPER, PHONE, SCHEMES, Scheme, Tab, tab_of
from tests.portal.operator.conftest import operator_in, operator_of
from tests.support.deployment import Deployment, eventually

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]
_MADE_WRONG = """
const picture = document.createElement("img");
picture.src = "https://elsewhere.example/picture.png";
picture.setAttribute("onerror", "alert(1)");
document.body.append(picture);
document.querySelector("main").style.width = "500px";
"""
_AROUND, _MOST = 8, 160
"""CSS pixels around an element in which its ring is looked for, and the most of an element that is looked at."""


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def tab(chromium: Chromium, running: Deployment, hostile: Hostile) -> AsyncIterator[Tab]:
    """Open a tab of somebody who owns both apps; what the browser has complained about is looked at when it closes."""
    async with tab_of(chromium, running, await owner(hostile)) as opened:
        yield opened


@pytest.mark.parametrize("screen", SCREENS, ids=lambda each: each.name)
async def test_every_page_is_accessible_and_fits_a_phone(tab: Tab, hostile: Hostile, screen: Screen) -> None:
    """Hazard: a long name or amount pushes a page wider than the phone, or a colour cannot be read."""
    await tab.at(screen.path.format(**hostile.names), screen.status)
    await look(tab)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def operator_tab(chromium: Chromium, running: Deployment) -> AsyncIterator[Tab]:
    """Open a tab of an operator who may do everything, as `tab`."""
    operator = await operator_in(running, await operator_of(running, Role.ADMIN, LONG[:100]))
    async with tab_of(chromium, running, operator) as opened:
        yield opened


@pytest.mark.parametrize("screen", OPERATOR_SCREENS, ids=lambda each: each.name)
async def test_every_page_of_operators_is_accessible_and_fits_a_phone(
    operator_tab: Tab, hostile: Hostile, screen: Screen
) -> None:
    await operator_tab.at(screen.path.format(**hostile.names), screen.status)
    await look(operator_tab)


async def test_what_follows_a_form_is_accessible_and_fits_a_phone(tab: Tab, hostile: Hostile) -> None:
    await tab.at(f"{hostile.tenant.path}/keys")
    await tab.page.get_by_label("Name").fill(LONG[:100])
    await tab.click("Create the key", "button")
    await tab.heading("Copy the new key now")
    await look(tab)
    await tab.page.reload()
    await tab.heading("The form was sent already")
    await look(tab)


async def look(tab: Tab) -> None:
    """Look at the page that is shown, in each scheme and size, and as it is printed."""
    for scheme in SCHEMES:
        await tab.page.emulate_media(color_scheme=scheme)
        found = (await Axe().run(tab.page)).response["violations"]
        grave = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in grave] == [], scheme
        assert [each["id"] for each in found if each not in grave] == [], scheme
    for width, height in (PHONE, DESKTOP, PAPER):
        await tab.page.emulate_media(media="print" if (width, height) == PAPER else "screen")
        await tab.page.set_viewport_size({"width": width, "height": height})
        assert await tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
    await tab.page.emulate_media(media="screen")
    await tab.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})


async def test_what_is_wrong_is_found(chromium: Chromium, running: Deployment, hostile: Hostile) -> None:
    """The instruments of these tests, tried on a page that is made wrong."""
    async with tab_of(chromium, running, await owner(hostile), size=PHONE) as tab:
        await tab.at(hostile.tenant.path)
        await tab.page.evaluate(_MADE_WRONG)
        await eventually(lambda: len(tab.violations) >= 2)
        found = (await Axe().run(tab.page)).response["violations"]
        assert ("image-alt", "critical") in [(each["id"], each["impact"]) for each in found]
        assert await tab.page.evaluate("document.scrollingElement.scrollWidth") > PHONE[0]
        assert {"script-src-attr", "img-src"} <= {
            each.split()[3] for each in tab.violations if "policy:" in each.lower()
        }
        tab.violations.clear()


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_focus_is_seen(tab: Tab, hostile: Hostile, scheme: Scheme) -> None:
    """Each kind of thing that can have the focus has a ring, at least 3:1 beside everything that is next to it."""
    await tab.page.emulate_media(color_scheme=scheme)
    rings: dict[str, float] = {}
    for path in ("{app}/keys", "{app}/keys/{key}", "{app}/usage"):
        await tab.at(path.format(**hostile.names))
        for each in (await tab.page.locator("a, button, input, select, [tabindex='0']").all())[1:]:
            kind = await each.evaluate("(each) => `${each.parentElement.className} ${each.tagName} ${each.className}`")
            if kind not in rings and await each.is_visible():
                await each.scroll_into_view_if_needed()
                rings[kind] = await ring_contrast(tab, each)
    print(
        f"{scheme}: the rings of {len(rings)} kinds of elements have a contrast of {min(rings.values()):.1f}:1 at least"
    )
    assert len(rings) > 10
    assert {kind: ring for kind, ring in rings.items() if ring < 3} == {}


async def ring_contrast(tab: Tab, each: Locator) -> float:
    """Return the lowest contrast between the ring of an element and the colours beside it and below it."""
    box, size = await each.bounding_box(), tab.page.viewport_size
    assert box is not None
    assert size is not None
    left, top = max(0, int(box["x"]) - _AROUND), max(0, int(box["y"]) - _AROUND)
    width = min(size["width"] - left, int(box["width"]) + 2 * _AROUND, _MOST)
    height = min(size["height"] - top, int(box["height"]) + 2 * _AROUND, _MOST)
    clip: FloatRect = {"x": left, "y": top, "width": width, "height": height}
    await each.blur()
    before = picture(await tab.page.screenshot(clip=clip))
    await each.focus()
    after = picture(await tab.page.screenshot(clip=clip))
    changed = Counter(colour for place, colour in after.items() if colour != before[place])
    assert changed, "the focus is not seen"
    ring = max(changed, key=changed.__getitem__)
    places = [place for place, colour in after.items() if colour == ring]
    assert len(places) >= 2 * (width - 2 * _AROUND), "the ring is as thin as a hair"
    beside = [each for place in places for each in neighbours(after, place, changed)]
    return min(contrast(ring, colour) for seen in (beside, [before[each] for each in places]) for colour in most(seen))


def neighbours(shown: Picture, place: tuple[int, int], changed: Container[Colour]) -> Iterator[Colour]:
    """Yield the colours next to a pixel of the ring, beyond the one that smooths its edge."""
    for right, down in product((-1, 0, 1), repeat=2):
        for step in (1, 2):
            colour = shown.get((place[0] + right * step, place[1] + down * step))
            if colour is not None and colour not in changed:
                yield colour
                break


def most(colours: list[Colour]) -> list[Colour]:
    """Return the colours that are more than a tenth of these: the others smooth corners and letters."""
    return [colour for colour, number in Counter(colours).items() if number * 10 > len(colours)]
