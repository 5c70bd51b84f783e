"""A person at the pages of the portal who signs in at the provider."""

from __future__ import annotations

import httpx

from tests.portal.browser import Browser

PROVIDER = "/portal/sign-in/provider"


async def sent_there(browser: Browser) -> str:
    """Begin; return the address at the provider to which the browser is sent."""
    response = await browser.get(PROVIDER)
    assert response.status_code == 303, response.text
    return response.headers["location"]


async def sent_back(address: str) -> str:
    """Follow the address at the provider; return the path of the portal to which that sends the browser back."""
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(address)
    assert response.status_code == 302, response.text
    return httpx.URL(response.headers["location"]).raw_path.decode()


async def sign_in(browser: Browser) -> httpx.Response:
    """Sign in as the person whom the provider names."""
    return await browser.get(await sent_back(await sent_there(browser)))
