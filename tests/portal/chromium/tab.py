"""A tab of Chromium at the portal, which keeps what the browser complains about."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.async_api import Browser as Chromium
from playwright.async_api import ConsoleMessage, Page, async_playwright

from tests.portal.browser import Browser
from tests.support.deployment import Deployment

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""Debian's Chromium; None: it is not installed."""
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PHONE, DESKTOP, PAPER = (360, 800), (1280, 900), (794, 1123)
"""Width and height in CSS pixels; paper is A4."""
_LISTEN = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Tab:
    """One page, in a context of its own: cookies of one person, and nobody else's."""

    page: Page
    origin: str
    clicks: int = 0
    violations: list[str] = field(default_factory=list)
    """What the Content-Security-Policy has kept from happening."""
    errors: list[str] = field(default_factory=list)
    """What else went wrong in a script."""

    async def at(self, path: str, status: int = 200) -> None:
        """Load a page, which must respond with this status."""
        response = await self.page.goto(self.origin + path)
        assert response is not None, path
        assert response.status == status, (path, response.status)

    async def click(self, name: str, role: Literal["link", "button"] = "link") -> None:
        """Click what people know by this name, and count it."""
        self.clicks += 1
        await self.page.get_by_role(role, name=name, exact=True).first.click()

    async def heading(self, text: str) -> None:
        """Wait for a page with this heading."""
        await self.page.get_by_role("heading", name=text, exact=True, level=1).wait_for()

    async def text(self) -> str:
        """Return the text of the page as it is shown."""
        return " ".join((await self.page.locator("body").inner_text()).split())

    async def press_until(self, selector: str, key: str = "Tab") -> None:
        """Press a key until the focus is on what the selector finds, as somebody without a mouse does."""
        for _ in range(100):
            await self.page.keyboard.press(key)
            if await self.page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
                return
        raise AssertionError(f"{selector} cannot be reached with {key}")

    def note(self, message: ConsoleMessage) -> None:
        """Keep what the browser writes to its console; that a page was refused is no fault of the page."""
        if message.type == "error" and "Failed to load resource" not in message.text:
            (self.violations if "Content Security Policy" in message.text else self.errors).append(message.text)


@asynccontextmanager
async def chromium_started() -> AsyncIterator[Chromium]:
    """Start Chromium, which root may only run without a sandbox."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=arguments)
        yield browser
        await browser.close()


@asynccontextmanager
async def tab_of(
    chromium: Chromium,
    deployment: Deployment,
    member: Browser | None = None,
    *,
    javascript: bool = True,
    size: tuple[int, int] = DESKTOP,
    scheme: Scheme = "light",
) -> AsyncIterator[Tab]:
    """Open a tab, with the session of a member unless that is None; nothing may have been complained about at its end.

    `javascript` False: scripts are switched off.
    """
    context = await chromium.new_context(
        java_script_enabled=javascript,
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        reduced_motion="reduce",
        accept_downloads=True,
    )
    context.set_default_timeout(20_000)
    await context.add_init_script(_LISTEN)
    if member is not None:
        cookies: list[Any] = [
            {"name": each.name, "value": each.value, "url": deployment.public} for each in member.http.cookies.jar
        ]
        await context.add_cookies(cookies)
    tab = Tab(await context.new_page(), deployment.public)
    tab.page.on("console", tab.note)
    tab.page.on("pageerror", lambda error: tab.errors.append(f"{error}"))
    try:
        yield tab
    finally:
        await context.close()
    assert tab.violations == []
    assert tab.errors == []
