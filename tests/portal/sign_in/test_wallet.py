"""Sign-in with a wallet in the browser. Hazards: forged, repeated and foreign messages, and accounts of others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio

from proxy.identity.siwe.message import parse_message
from tests.portal.browser import Browser, new_browser, read_page, text_of
from tests.portal.conftest import Tenant
from tests.portal.sign_in.by_wallet import WALLET, message_for, send_signed, sign_in
from tests.sign_in.operator import Operator
from tests.support.deployment import Deployment
from tests.support.wallet import Wallet, moment

pytestmark = pytest.mark.asyncio(loop_scope="package")
COOKIE, PENDING = "tollgate", "tollgate-wallet"


@pytest_asyncio.fixture(loop_scope="package")
async def wallet(operator: Operator, used: Tenant) -> Wallet:
    """Return the wallet of a new viewer."""
    wallet = Wallet()
    await operator.member(used.app, await operator.add(wallet), "viewer")
    return wallet


def assert_refused(response: httpx.Response, status: int, words: str) -> None:
    """Check that it is a page that begins no session."""
    assert (response.status_code, words in text_of(response)) == (status, True), response.text
    assert not response.headers.get("set-cookie", "").startswith(f"{COOKIE}=")


async def test_a_wallet_signs_in_without_a_script(running: Deployment, used: Tenant, wallet: Wallet) -> None:
    browser = new_browser(running)
    assert WALLET in read_page(await browser.page("/portal/sign-in")).links
    assert (f"{WALLET}/message", "POST") in [(a, m) for m, a in read_page(await browser.page(WALLET)).forms]
    page = await browser.send(f"{WALLET}/message", {"address": wallet.address.lower()})
    message = await message_for(browser, wallet.address.lower())
    parsed = parse_message(message)
    assert " ".join(message.split()).partition(" Nonce")[0] in text_of(page), "people see what they sign"
    assert (parsed.address, parsed.chain_id, parsed.uri) == (wallet.address, "1", running.public)
    assert parsed.expiration_time is not None
    assert "invitation" not in page.text, "where none counts, none is asked for"
    response = await send_signed(browser, message, wallet.sign(message))
    assert (response.status_code, response.headers["location"]) == (303, "/portal")
    assert (await browser.page(used.path)).status_code == 200
    assert PENDING not in browser.http.cookies


async def test_the_script_of_the_wallet_has_the_nonce_of_its_page(running: Deployment) -> None:
    browser = new_browser(running)
    for page in (await browser.page(WALLET), await browser.send(f"{WALLET}/message", {"address": Wallet().address})):
        [script] = [tag for name, tag in read_page(page).tags if name == "script"]
        assert f"script-src 'nonce-{script['nonce']}'" in page.headers["content-security-policy"]
        assert script["src"] == "/portal/static/wallet.js"
        assert all(not each.startswith("on") for _, tag in read_page(page).tags for each in tag)
    script_file = await browser.page("/portal/static/wallet.js")
    assert script_file.headers["content-type"].startswith("text/javascript")
    assert "innerHTML" not in script_file.text


def at(**ahead: float) -> str:
    """Return a moment so far ahead of now."""
    return moment(datetime.now(UTC) + timedelta(**ahead))


def changed(pattern: str, value: Callable[[str], str]) -> Callable[[str], str]:
    """Return what replaces the value of a line."""

    def change(message: str) -> str:
        lines = [
            pattern + value(each.removeprefix(pattern)) if each.startswith(pattern) else each
            for each in message.split("\n")
        ]
        return "\n".join(lines)

    return change


FORGERIES: dict[str, tuple[Callable[[str], str], str]] = {
    "another domain": (lambda m: m.replace(m.partition(" ")[0], "evil.example", 1), "another domain"),
    "another uri": (changed("URI: ", lambda _: "https://evil.example"), "URI is not"),
    "another chain": (changed("Chain ID: ", lambda _: "56"), "chain id is not accepted"),
    "a nonce of its own": (changed("Nonce: ", lambda _: "0" * 32), "not the one that this browser was given"),
    "another statement": (lambda m: m.replace("Sign in to Tollgate.", "Hello."), "statement is not"),
    "expired": (changed("Expiration Time: ", lambda _: at(seconds=-1)), "has expired"),
    "issued long ago": (changed("Issued At: ", lambda _: at(minutes=-10)), "issued too long ago"),
    "issued in the future": (changed("Issued At: ", lambda _: at(minutes=5)), "issued in the future"),
    "one line more": (lambda m: m + "\nNote: hello", "one too many"),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_message_that_was_signed_for_something_else(name: str, running: Deployment, wallet: Wallet) -> None:
    forge, words = FORGERIES[name]
    browser = new_browser(running)
    message = forge(good := await message_for(browser, wallet.address))
    assert message != good
    status = 400 if words == "one too many" else 401
    assert_refused(await send_signed(browser, message, wallet.sign(message)), status, words)


async def test_a_message_is_good_once_and_soon(running: Deployment, wallet: Wallet) -> None:
    browser = new_browser(running)
    message = await message_for(browser, wallet.address)
    pending = browser.http.cookies[PENDING]
    signature = wallet.sign(message)
    assert (await send_signed(browser, message, signature)).status_code == 303
    assert_refused(await send_signed(browser, message, signature), 401, "not the one that this browser was given")
    browser.http.cookies.set(PENDING, pending, domain="127.0.0.1", path="/")
    assert_refused(await send_signed(browser, message, signature), 401, "unknown, used or over")
    late = await message_for(browser, wallet.address)
    async with running.store() as store:
        await store.redis.pexpire(f"tollgate:{{nonces}}:{browser.http.cookies[PENDING]}", 0)
    assert_refused(await send_signed(browser, late, wallet.sign(late)), 401, "unknown, used or over")


async def test_the_signature_of_another_wallet_or_of_nothing(running: Deployment, wallet: Wallet) -> None:
    browser = new_browser(running)
    for sign, words in (
        (Wallet().sign, "not signed by the key of its address"),
        (lambda _: "0x" + "ab" * 64, "must be 0x and 130"),
    ):
        message = await message_for(browser, wallet.address)
        assert_refused(await send_signed(browser, message, sign(message)), 401, words)
    assert_refused(await browser.send(WALLET, {"message": "m", "signature": ""}), 400, "signature is empty")
    assert_refused(await browser.send(WALLET, {"message": "m", "signature": "s"}), 400, "Line 1 is not")
    for address in ("0x12", wallet.address[:2] + wallet.address[2:].swapcase()):
        assert_refused(await browser.send(f"{WALLET}/message", {"address": address}), 400, "ddress")


async def test_nobody_is_signed_in_to_the_account_of_another(running: Deployment, wallet: Wallet) -> None:
    """Hazard: login CSRF, a message that somebody else has signed, sent from the browser of a victim."""
    mallory, victim = new_browser(running), new_browser(running)
    message = await message_for(mallory, wallet.address)
    signed = {"message": message, "signature": wallet.sign(message)}
    assert_refused(await victim.send(WALLET, signed), 401, "not the one that this browser was given")
    await message_for(victim, Wallet().address)
    assert_refused(await victim.send(WALLET, signed), 401, "not the one that this browser was given")
    for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        for path in (WALLET, f"{WALLET}/message"):
            assert_refused(await mallory.send(path, {"address": wallet.address, **signed}, headers), 403, "form")
    assert (await mallory.send(WALLET, signed)).status_code == 303, "none of it has used up the nonce"


async def test_the_token_is_new_at_each_sign_in(running: Deployment, used: Tenant, wallet: Wallet) -> None:
    """Hazard: session fixation."""
    planted = (await used.member("viewer")).http.cookies[COOKIE]
    browser = new_browser(running)
    browser.http.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
    tokens = {planted}
    for count in (2, 3):
        assert (await sign_in(browser, wallet)).status_code == 303
        tokens.add(browser.http.cookies[COOKIE])
        assert len(tokens) == count


async def test_who_may_not_sign_in(running: Deployment, wallet: Wallet, operator: Operator) -> None:
    browser = new_browser(running)
    assert_refused(await sign_in(browser, Wallet()), 403, "the operator adds developers")
    developer = await operator.find(wallet)
    assert developer is not None
    await operator.suspend(developer.developer_id)
    assert_refused(await sign_in(browser, wallet), 403, "is suspended")
    _, audit, _ = await running.cli("audit", "list", "--json")
    assert developer.developer_id in audit


async def test_cookies_are_kept_from_scripts_and_other_sites(running: Deployment, wallet: Wallet) -> None:
    browser: Browser = new_browser(running)
    page = await browser.send(f"{WALLET}/message", {"address": wallet.address})
    members = {each.strip().lower() for each in page.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "path=/", "samesite=lax", "max-age=300"} <= members
