"""People sign in with a real browser, with scripts and without: by a wallet of the browser, by hand, at a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium

from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import ForeignIdentity
from tests.portal.chromium.tab import PROGRAM, chromium_started, tab_of
from tests.portal.conftest import Tenant
from tests.support.deployment import Deployment
from tests.support.identity_provider import IdentityProvider
from tests.support.wallet import Wallet

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

_WALLET = """
window.ethereum = { request: ({ method, params }) => window.walletOfTest(method, params ?? []) };
"""


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def chromium() -> AsyncIterator[Chromium]:
    """Start a browser."""
    if PROGRAM is None:
        pytest.skip("Chromium is not installed")
    async with chromium_started() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def wallet(running: Deployment, used: Tenant) -> Wallet:
    """Return the wallet of a member."""
    found = Wallet()
    async with running.store() as store:
        developer, _ = await Developers(store.redis).create(found.address)
        await Memberships(store.redis).put(used.app, developer.developer_id, "viewer")
    return found


@pytest.mark.slow
async def test_the_wallet_of_the_browser_signs_in(
    chromium: Chromium, running: Deployment, used: Tenant, wallet: Wallet
) -> None:
    asked: list[str] = []

    def respond(method: str, params: list[str]) -> list[str] | str:
        """Respond as a wallet does (EIP-1193), once its owner has agreed."""
        asked.append(method)
        if method == "eth_requestAccounts":
            return [wallet.address]
        assert params[1] == wallet.address
        return wallet.sign(bytes.fromhex(params[0].removeprefix("0x")).decode())

    async with tab_of(chromium, running) as tab:
        await tab.page.expose_function("walletOfTest", respond)
        await tab.page.add_init_script(_WALLET)
        await tab.at("/portal/sign-in")
        await tab.page.get_by_role("link", name="wallet").click()
        await tab.click("Use the wallet of this browser", "button")
        await tab.heading("Sign this message")
        await tab.click("Sign with the wallet of this browser", "button")
        await tab.heading("Overview")
        assert tab.page.url == running.public + used.path
    assert asked == ["eth_requestAccounts", "personal_sign"]


async def test_a_wallet_that_refuses_is_said_to(chromium: Chromium, running: Deployment) -> None:
    async with tab_of(chromium, running) as tab:
        await tab.page.add_init_script("""
            window.ethereum = { request: async () => { throw new Error("<b>not today</b>"); } };
        """)
        await tab.at("/portal/sign-in/wallet")
        await tab.click("Use the wallet of this browser", "button")
        await tab.page.get_by_text("The wallet refused: <b>not today</b>").wait_for()


@pytest.mark.slow
@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
async def test_a_signature_made_elsewhere_signs_in(
    chromium: Chromium, running: Deployment, used: Tenant, wallet: Wallet, javascript: bool
) -> None:
    async with tab_of(chromium, running, javascript=javascript) as tab:
        await tab.at("/portal/sign-in/wallet")
        assert not await tab.page.get_by_role("button", name="Use the wallet of this browser").is_visible()
        await tab.page.get_by_label("Address of the wallet").fill(wallet.address)
        await tab.click("Show the message", "button")
        await tab.heading("Sign this message")
        message = await tab.page.locator("pre code").inner_text()
        await tab.page.get_by_label("Signature").fill(wallet.sign(message))
        await tab.click("Sign in", "button")
        await tab.heading("Overview")
        assert tab.page.url == running.public + used.path


@pytest.mark.slow
@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
async def test_a_provider_signs_in(
    chromium: Chromium, running: Deployment, used: Tenant, provider: IdentityProvider, javascript: bool
) -> None:
    provider.honest()
    async with running.store() as store:
        developer, _ = await Developers(store.redis).create(ForeignIdentity(provider.issuer, "ann"))
        await Memberships(store.redis).put(used.app, developer.developer_id, "viewer")
    async with tab_of(chromium, running, javascript=javascript) as tab:
        await tab.at("/portal/sign-in")
        await tab.page.get_by_role("link", name="Sign in with House").click()
        await tab.heading("Overview")
        assert tab.page.url == running.public + used.path
        [cookie] = await tab.page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
