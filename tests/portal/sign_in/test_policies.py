"""Who signs up in the browser, by policy, with a wallet and at the provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.control.developers.developers import Developers
from proxy.control.developers.records import ForeignIdentity
from tests.portal.browser import OPEN, Browser, new_browser, read_page, text_of
from tests.portal.conftest import CONFIG
from tests.portal.sign_in import at_provider, by_wallet
from tests.portal.sign_in.at_provider import PROVIDER, sent_back
from tests.sign_in.conftest import SIGN_IN
from tests.sign_in.operator import Operator
from tests.support.builder import builder_app
from tests.support.deployment import Deployment, deployed
from tests.support.identity_provider import IdentityProvider
from tests.support.wallet import Wallet

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]
FAILURES = 10


@asynccontextmanager
async def policy(folder: Path, provider: IdentityProvider, **sign_up: Any) -> AsyncIterator[Deployment]:
    """Run Tollgate with this policy."""
    portal = {**CONFIG["portal"], "oidc": {**provider.settings, "sign_up": True}}
    limits = {"workers": 1, "auth": {"failures_per_minute": FAILURES}}
    config = {**CONFIG, **limits, "sign_in": SIGN_IN, "sign_up": sign_up, "portal": portal}
    mine = len(OPEN)
    async with deployed(folder, config) as deployment:
        yield deployment
        while len(OPEN) > mine:
            await OPEN.pop().http.aclose()


def said(response: httpx.Response) -> tuple[int, bool, str]:
    """Return status, whether a session has begun, and the text."""
    begun = any(each.startswith("tollgate=tgd_") for each in response.headers.get_list("set-cookie"))
    return response.status_code, begun, text_of(response)


async def at_provider_with(browser: Browser, code: str) -> httpx.Response:
    """Sign in at the provider with an invitation: a form first, then a link."""
    page = await browser.send(PROVIDER, {"invite": code})
    assert page.status_code == 200, page.text
    [address] = [each for each in read_page(page).links if "/authorize?" in each]
    return await browser.get(await sent_back(address))


@pytest.mark.slow
async def test_invitations_are_for_one_each(tmp_path: Path, provider: IdentityProvider) -> None:
    async with policy(tmp_path, provider, policy="invite") as deployment:
        operator = Operator(deployment)
        async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as http:
            app = (await builder_app(deployment, http)).client_id
        wallet = Wallet()
        provider.honest("carol")
        browser = new_browser(deployment)
        for response in (await by_wallet.sign_in(browser, wallet), await at_provider.sign_in(browser)):
            assert said(response)[:2] == (403, False)
            assert "an invitation is needed" in text_of(response)
        page = await browser.page("/portal/sign-in")
        assert ("POST", PROVIDER) in read_page(page).forms
        code = await operator.invite(app, "billing")
        assert said(await by_wallet.sign_in(browser, wallet, invite=code[:-1]))[:2] == (403, False)
        assert said(await by_wallet.sign_in(browser, wallet, invite=code))[:2] == (303, True)
        assert "Billing" in text_of(await browser.page(f"/portal/apps/{app}"))
        for used_up in (await at_provider_with(new_browser(deployment), code),):
            assert said(used_up)[:2] == (403, False)
        carol = new_browser(deployment)
        second = await operator.invite(app, "viewer")
        assert said(await at_provider_with(carol, second))[:2] == (303, True)
        assert "Viewer" in text_of(await carol.page(f"/portal/apps/{app}"))
        again = new_browser(deployment)
        assert said(await at_provider.sign_in(again))[:2] == (303, True)
        assert second.split("_")[2] not in deployment.log.read_text()


@pytest.mark.slow
async def test_whoever_waits_for_approval_is_told(tmp_path: Path, provider: IdentityProvider) -> None:
    async with policy(tmp_path, provider, policy="approve") as deployment:
        operator, wallet, browser = Operator(deployment), Wallet(), new_browser(deployment)
        provider.honest("dave")
        for _ in range(2):
            for response in (await by_wallet.sign_in(browser, wallet), await at_provider.sign_in(browser)):
                assert said(response)[:2] == (403, False)
                assert "waits for the approval" in text_of(response)
        async with deployment.store() as store:
            dave = await Developers(store.redis).find(ForeignIdentity(provider.issuer, "dave"))
        owner = await operator.find(wallet)
        assert owner is not None
        assert dave is not None
        assert (dave.status, dave.email) == ("pending", "dave@house.example")
        for each in (owner, dave):
            await operator.activate(each.developer_id)
        assert said(await by_wallet.sign_in(browser, wallet))[:2] == (303, True)
        assert said(await at_provider.sign_in(browser))[:2] == (303, True)


async def test_open_sign_up_makes_an_app_whose_secret_is_shown_once(tmp_path: Path, provider: IdentityProvider) -> None:
    async with policy(tmp_path, provider, policy="open", plan="free", per_day=2) as deployment:
        wallet = Wallet()
        provider.honest("frank")
        for sign_in in (lambda browser: by_wallet.sign_in(browser, wallet), at_provider.sign_in):
            browser = new_browser(deployment)
            status, begun, text = said(await sign_in(browser))
            assert (status, begun) == (200, True), text
            [secret] = [word for word in text.split() if word.startswith("tgs_")]
            [app] = [word for word in text.split() if word.startswith("app_")]
            async with httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False) as http:
                assert (await http.get(f"/api/v1/apps/{app}/users", auth=(app, secret))).status_code == 200
            assert "Owner" in text_of(await browser.page(f"/portal/apps/{app}"))
            assert said(await sign_in(browser))[:2] == (303, True), "there is one app for each"
            assert secret.split("_")[1] not in deployment.log.read_text()
        assert "signed up today" in text_of(await by_wallet.sign_in(new_browser(deployment), Wallet()))
        for forge in (forged_by_wallet, lambda browser: browser.get(f"{PROVIDER}/callback")):
            statuses = [said(await forge(new_browser(deployment)))[0] for _ in range(FAILURES + 2)]
            assert (statuses[0], statuses[-1]) == (401, 429), "refused sign-ins are counted by address"
            assert {401, 429} == set(statuses)


async def forged_by_wallet(browser: Browser) -> httpx.Response:
    """Send a message that another wallet has signed."""
    message = await by_wallet.message_for(browser, Wallet().address)
    return await by_wallet.send_signed(browser, message, Wallet().sign(message))
