"""Sign-in at a provider. Hazards: forged, foreign, late and repeated responses, and people who may not come in."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import httpx
import pytest
import pytest_asyncio

from proxy.control.developers.developers import Developers
from proxy.control.developers.records import ForeignIdentity
from tests.portal.browser import Browser, new_browser, read_page, text_of
from tests.portal.conftest import Tenant
from tests.portal.sign_in.at_provider import PROVIDER, sent_back, sent_there, sign_in
from tests.sign_in.operator import Operator
from tests.support.deployment import Deployment
from tests.support.identity_provider import CLIENT_ID, Claims, IdentityProvider, new_key, query_of

pytestmark = pytest.mark.asyncio(loop_scope="package")
COOKIE, PENDING = "tollgate", "tollgate-provider"
FOREIGN_PAGE = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}


@pytest_asyncio.fixture(loop_scope="package")
async def ann(running: Deployment, provider: IdentityProvider, used: Tenant, operator: Operator) -> str:
    """Return the id of a viewer whom the provider names."""
    provider.honest()
    async with running.store() as store:
        record, _ = await Developers(store.redis).create(ForeignIdentity(provider.issuer, "ann"))
    await operator.member(used.app, record.developer_id, "viewer")
    return record.developer_id


def assert_refused(response: httpx.Response, status: int, words: str) -> None:
    """Check that it is a page that begins no session."""
    assert (response.status_code, words in text_of(response)) == (status, True), response.text
    assert not response.headers.get("set-cookie", "").startswith(f"{COOKIE}=")


async def test_head_uses_up_no_code_of_the_provider(running: Deployment, ann: str) -> None:
    """Hazard: a program that looks at a link by HEAD signs in with it, once, and whoever follows it is refused."""
    browser = new_browser(running)
    back = await sent_back(await sent_there(browser))
    head = await browser.http.head(back)
    assert (head.status_code, head.headers["allow"]) == (405, "GET")
    assert (await browser.get(back)).headers["location"] == "/portal"


async def test_a_person_signs_in_at_the_provider(running: Deployment, used: Tenant, ann: str) -> None:
    browser = new_browser(running)
    page = await browser.page("/portal/sign-in")
    assert PROVIDER in read_page(page).links
    assert "Sign in with House <Id>" in text_of(page)
    address = await sent_there(browser)
    asked = query_of(address)
    assert asked["scope"] == "openid email profile"
    assert asked["redirect_uri"] == f"{running.public}{PROVIDER}/callback"
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    assert asked["client_id"] == CLIENT_ID
    back, pending = await sent_back(address), browser.http.cookies[PENDING]
    response = await browser.get(back)
    assert (response.status_code, response.headers["location"]) == (303, "/portal")
    assert PENDING not in browser.http.cookies
    assert used.app in (await browser.get("/portal")).headers["location"]
    assert_refused(await browser.get(back), 401, "does not belong to this browser")
    _, audit, _ = await running.cli("audit", "list", "--json")
    assert '"way": "provider"' in audit
    log = running.log.read_text()
    kept = json.loads(base64.urlsafe_b64decode(pending.partition(".")[0]))[1]
    [verifier] = [each["data"]["code_verifier"] for each in kept.values()]
    for secret in (asked["state"], asked["nonce"], verifier, query_of(back)["code"]):
        assert secret not in log


LIES: dict[str, Callable[[Claims], Claims]] = {
    "another issuer": lambda c: c | {"iss": "https://evil.example"},
    "an issuer that ours is the beginning of": lambda c: c | {"iss": c["iss"] + "/"},
    "no issuer": lambda c: {name: value for name, value in c.items() if name != "iss"},
    "another audience": lambda c: c | {"aud": "another client"},
    "another audience, authorized by us": lambda c: c | {"aud": "another client", "azp": CLIENT_ID},
    "no audience": lambda c: {name: value for name, value in c.items() if name != "aud"},
    "two audiences, authorized by another": lambda c: c | {"aud": [CLIENT_ID, "x"], "azp": "x"},
    "expired": lambda c: c | {"exp": int(time.time()) - 60, "iat": int(time.time()) - 360},
    "no end": lambda c: {name: value for name, value in c.items() if name != "exp"},
    "not valid yet": lambda c: c | {"nbf": int(time.time()) + 600},
    "issued in the future": lambda c: c | {"iat": int(time.time()) + 600},
    "another nonce": lambda c: c | {"nonce": "x"},
    "no nonce": lambda c: {name: value for name, value in c.items() if name != "nonce"},
    "nobody": lambda c: c | {"sub": ""},
    "a subject that is no text": lambda c: c | {"sub": 7},
    "a subject that is too long": lambda c: c | {"sub": "a" * 256},
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LIES)
async def test_a_token_that_proves_nothing(
    name: str, running: Deployment, provider: IdentityProvider, ann: str
) -> None:
    provider.change = LIES[name]
    response = await sign_in(new_browser(running))
    assert response.status_code == 401, response.text
    assert not response.headers.get("set-cookie", "").startswith(f"{COOKIE}=")


async def test_a_token_of_another_key(running: Deployment, provider: IdentityProvider, ann: str) -> None:
    provider.signing_key = new_key()
    assert_refused(await sign_in(new_browser(running)), 401, "does not belong to this browser")


async def test_the_state_of_another_browser(running: Deployment, provider: IdentityProvider, ann: str) -> None:
    """Hazard: login CSRF, a response that belongs to the sign-in of somebody else."""
    mallory, victim = new_browser(running), new_browser(running)
    back = await sent_back(await sent_there(mallory))
    for _ in range(2):
        assert_refused(await victim.get(back), 401, "does not belong to this browser")
        await sent_there(victim)
    other = query_of(await sent_there(victim))["state"]
    swapped = back.replace(query_of(back)["state"], other)
    assert_refused(await victim.get(swapped), 401, "does not belong to this browser")


async def test_a_code_is_good_once(running: Deployment, provider: IdentityProvider, ann: str) -> None:
    browser = new_browser(running)
    back = await sent_back(await sent_there(browser))
    pending = browser.http.cookies[PENDING]
    assert (await browser.get(back)).status_code == 303
    browser.http.cookies.set(PENDING, pending, domain="127.0.0.1", path="/")
    assert_refused(await browser.get(back), 401, "does not belong to this browser")


async def test_the_cookie_of_a_sign_in_cannot_be_made(
    running: Deployment, provider: IdentityProvider, ann: str
) -> None:
    browser = new_browser(running)
    back = await sent_back(await sent_there(browser))
    sealed = browser.http.cookies[PENDING]
    for wrong in ("", "x", sealed[:-1] + ("0" if sealed[-1] != "0" else "1"), "e30" + sealed, sealed.partition(".")[0]):
        browser.http.cookies.set(PENDING, wrong, domain="127.0.0.1", path="/")
        assert_refused(await browser.get(back), 401, "does not belong to this browser")


async def test_an_issuer_is_not_mixed_up_with_another(
    running: Deployment, provider: IdentityProvider, ann: str
) -> None:
    provider.named = "https://evil.example"
    assert_refused(await sign_in(new_browser(running)), 401, "does not belong to this browser")
    provider.named = provider.issuer
    assert (await sign_in(new_browser(running))).status_code == 303


PEOPLE: dict[str, tuple[Claims, str]] = {
    "an address that is not verified": ({"email_verified": False}, "has not verified"),
    "an address that is verified in words": ({"email_verified": "true"}, "has not verified"),
    "no address": ({"email": None}, "has not verified"),
    "an address of another domain": ({"email": "ann@evil.example"}, "domain may not"),
    "a domain below ours": ({"email": "ann@x.house.example"}, "domain may not"),
    "two domains": ({"email": "ann@house.example@evil.example"}, "domain may not"),
    "a stranger": ({"sub": "eve"}, "the operator adds developers"),
}


@pytest.mark.parametrize("name", PEOPLE)
async def test_people_who_may_not_come_in(name: str, running: Deployment, provider: IdentityProvider, ann: str) -> None:
    claims, words = PEOPLE[name]
    provider.person |= claims
    assert_refused(await sign_in(new_browser(running)), 403, words)


async def test_the_provider_says_no(running: Deployment, ann: str) -> None:
    browser = new_browser(running)
    state = query_of(await sent_there(browser))["state"]
    path = f"{PROVIDER}/callback"
    assert_refused(await browser.get(path, error="access_denied", state=state), 401, "begin anew")
    assert_refused(await browser.get(path), 401, "begin anew")
    assert_refused(await browser.get(path, state=state), 401, "begin anew")
    assert_refused(await browser.get(path, state=state, code=""), 401, "begin anew")


async def test_the_provider_is_down(running: Deployment, provider: IdentityProvider, ann: str) -> None:
    browser = new_browser(running)
    back = await sent_back(await sent_there(browser))
    provider.down = True
    response = await browser.get(back)
    assert_refused(response, 503, "cannot be reached")
    assert response.headers["retry-after"] == "5"
    provider.down = False
    assert (await sign_in(browser)).status_code == 303


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b"<html>",
        b'{"access_token": "at", "token_type": "Bearer"}',
        b'{"access_token": "at", "id_token": null}',
        b'{"access_token": "at", "id_token": 7}',
        b'{"access_token": "at", "id_token": "x"}',
        b'{"access_token": "at", "id_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."}',
        b'{"access_token": "at", "id_token": "e30.e30.e30"}',
        b'{"error": 7, "error_description": {}}',
        b"[" * 5_000,
        b"x" * (1024 * 1024 + 1),
    ],
    ids=lambda body: repr(body[:60]),
)
async def test_responses_that_cannot_be_used(
    body: bytes, running: Deployment, provider: IdentityProvider, ann: str
) -> None:
    provider.token_response = body
    response = await sign_in(new_browser(running))
    assert response.status_code in (401, 503), response.text
    assert not response.headers.get("set-cookie", "").startswith(f"{COOKIE}=")


async def test_a_suspended_developer_stays_outside(running: Deployment, ann: str, operator: Operator) -> None:
    await operator.suspend(ann)
    assert_refused(await sign_in(new_browser(running)), 403, "is suspended")
    await operator.activate(ann)
    assert (await sign_in(new_browser(running))).status_code == 303


async def test_whoever_was_added_by_address_is_the_first_who_proves_it(
    running: Deployment, provider: IdentityProvider
) -> None:
    _, out, err = await running.cli("developers", "add", "--email", "Bob@house.example", "--json")
    assert '"wallet": null' in out, err
    provider.honest("bob-1", email="bob@house.example")
    browser = new_browser(running)
    assert (await sign_in(browser)).status_code == 303
    assert (await sign_in(new_browser(running))).status_code == 303
    provider.honest("bob-2", email="bob@house.example")
    assert_refused(await sign_in(new_browser(running)), 403, "the operator adds developers")


async def test_the_token_is_new_at_each_sign_in(running: Deployment, used: Tenant, ann: str) -> None:
    """Hazard: session fixation."""
    planted = (await used.member("viewer")).http.cookies[COOKIE]
    browser: Browser = new_browser(running)
    browser.http.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
    tokens = {planted}
    for count in (2, 3):
        assert (await sign_in(browser)).status_code == 303
        tokens.add(browser.http.cookies[COOKIE])
        assert len(tokens) == count


async def test_a_form_of_another_page_sends_nobody_to_the_provider(running: Deployment) -> None:
    browser = new_browser(running)
    assert_refused(await browser.send(PROVIDER, {"invite": "x"}, FOREIGN_PAGE), 403, "another page")
