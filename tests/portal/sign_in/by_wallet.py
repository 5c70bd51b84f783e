"""A person with a wallet at the pages of the portal, without the script."""

from __future__ import annotations

import httpx

from tests.portal.browser import Browser, read_page
from tests.support.wallet import Wallet

WALLET = "/portal/sign-in/wallet"


async def message_for(browser: Browser, address: str) -> str:
    """Ask for the message of an address; return it as the page has it."""
    page = await browser.send(f"{WALLET}/message", {"address": address})
    assert page.status_code == 200, page.text
    [message] = [tag["value"] for name, tag in read_page(page).tags if name == "input" and tag["name"] == "message"]
    return message or ""


async def send_signed(browser: Browser, message: str, signature: str, **fields: str) -> httpx.Response:
    """Send a message and its signature, with the line ends that browsers send."""
    return await browser.send(WALLET, {"message": message.replace("\n", "\r\n"), "signature": signature, **fields})


async def sign_in(browser: Browser, wallet: Wallet, **fields: str) -> httpx.Response:
    """Sign in as the pages want it."""
    message = await message_for(browser, wallet.address)
    return await send_signed(browser, message, wallet.sign(message), **fields)
