"""Write a picture of every page: light and dark, on a phone and on a desk. `make screenshots` clears its folder first.

The pages are those of an app full of hostile data, of one without any, and of one with ten thousand requests.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from itertools import product
from pathlib import Path

from playwright.async_api import Browser as Chromium

from middlewares.auth.records import Role
from tests.portal.browser import OPEN, Browser
from tests.portal.chromium.busy import busy_app
from tests.portal.chromium.hostile import hostile_app, owner
from tests.portal.chromium.screens import BUSY_SCREENS, OPERATOR_SCREENS, SCREENS
from tests.portal.chromium.tab import DESKTOP, PHONE, PROGRAM, SCHEMES, Tab, chromium_started, tab_of
from tests.portal.conftest import CONFIG
from tests.portal.operator.conftest import operator_in, operator_of
from tests.support.deployment import Deployment, deployed

SIZES = {"phone": PHONE, "desk": DESKTOP}


async def take_all(folder: Path, data: Path) -> None:
    """Start all that is needed with its data in one folder, and write the pictures into another."""
    async with deployed(data, CONFIG) as running, hostile_app(running) as hostile, chromium_started() as chromium:
        busy = await busy_app(running)
        member = await owner(hostile, busy.app)
        names = {**hostile.names, "busy": busy.path}
        await take_each(chromium, running, member, names, folder)
        operator = await operator_in(running, await operator_of(running, Role.ADMIN, "Night shift"))
        for scheme, (device, size) in product(SCHEMES, SIZES.items()):
            async with tab_of(chromium, running, operator, size=size, scheme=scheme) as tab:
                for screen in OPERATOR_SCREENS:
                    await tab.at(screen.path.format(**names), screen.status)
                    await picture(tab, folder / f"{screen.name}-{device}-{scheme}.png")
        while OPEN:
            await OPEN.pop().http.aclose()


async def take_each(
    chromium: Chromium, running: Deployment, member: Browser, names: dict[str, str], folder: Path
) -> None:
    """Write the pictures of all pages, in each scheme and size."""
    for scheme, (device, size) in product(SCHEMES, SIZES.items()):
        async with tab_of(chromium, running, member, size=size, scheme=scheme) as tab:
            for screen in (*SCREENS, *BUSY_SCREENS):
                await tab.at(screen.path.format(**names), screen.status)
                await picture(tab, folder / f"{screen.name}-{device}-{scheme}.png")
            await tab.at(f"{names['busy']}/keys")
            await tab.page.get_by_label("Name").fill(f"Kiosk {device} {scheme}")
            await tab.click("Create the key", "button")
            await tab.heading("Copy the new key now")
            await picture(tab, folder / f"key-created-{device}-{scheme}.png")


async def picture(tab: Tab, file: Path) -> None:
    """Write a picture of a whole page, however long it is."""
    await tab.page.screenshot(path=file, full_page=True)


def main(folder: Path) -> None:
    """Clear the folder and fill it."""
    if PROGRAM is None:
        sys.exit("Chromium is not installed")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as data:
        asyncio.run(take_all(folder, Path(data)))
    print(f"{len(list(folder.iterdir()))} pictures in {folder}/")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
