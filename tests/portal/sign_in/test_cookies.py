"""The cookies of a sign-in that has begun, and what is sealed in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.portal.access.brief_cookie import BriefCookie
from proxy.portal.access.cookies import SessionCookie, form_token
from proxy.portal.access.sealed import seal, unseal
from tests.portal.browser import new_browser
from tests.portal.conftest import Tenant
from tests.portal.sign_in.at_provider import PROVIDER
from tests.support.deployment import Deployment
from tests.support.wallet import Wallet

KEY = b"k" * 32
texts = st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=20), st.none(), st.integers()), max_size=3)


@pytest.mark.parametrize(
    ("origin", "name", "secure"),
    [
        ("https://a.example", "__Host-tollgate-wallet", True),
        ("http://127.0.0.1:8080", "tollgate-wallet", False),
    ],
)
def test_over_https_no_other_host_can_plant_one(origin: str, name: str, secure: bool) -> None:
    response = Response()
    BriefCookie(SessionCookie(origin), "wallet").set(response, "v", 300)
    header = response.headers["set-cookie"]
    assert header.startswith(f"{name}=v; ")
    members = {each.strip().lower() for each in header.split(";")[1:]}
    assert members == {"httponly", "max-age=300", "path=/", "samesite=lax", *(["secure"] if secure else [])}


@given(texts)
def test_what_is_sealed_is_read_until_its_end(members: dict[str, object]) -> None:
    sealed = seal(members, KEY, 100)
    assert unseal(sealed, KEY, 99.9) == members
    assert unseal(sealed, KEY, 100) is None
    assert unseal(sealed, b"other", 0) is None


@given(texts, st.data())
def test_what_was_changed_is_not_read(members: dict[str, object], data: st.DataObject) -> None:
    sealed = seal(members, KEY, 100)
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:place] + data.draw(st.characters(exclude_characters=sealed[place])) + sealed[place + 1 :]
    assert unseal(changed, KEY, 0) is None


@pytest.mark.parametrize("text", ["", ".", "é.é", "e30", "x" * 100])
def test_what_is_no_seal_is_not_read(text: str) -> None:
    assert unseal(text, KEY, 0) is None


@pytest.mark.asyncio(loop_scope="package")
async def test_a_code_of_an_invitation_fits_into_its_cookie(running: Deployment) -> None:
    """Hazard: browsers drop a cookie of more than 4096 bytes, and whoever comes back from the provider is refused."""
    browser = new_browser(running)
    for code, status in (("i" * 200, 200), ("\u2603" * 200, 200), ("i" * 201, 400), ("i" * 9_000, 400)):
        response = await browser.send(PROVIDER, {"invite": code})
        assert (response.status_code, "set-cookie" in response.headers) == (status, status == 200), code
        assert len(response.headers.get("set-cookie", "").partition(";")[0]) < 4_000


@pytest.mark.ci
@pytest.mark.asyncio(loop_scope="package")
async def test_a_token_of_the_api_is_no_session_of_a_browser(running: Deployment, used: Tenant) -> None:
    """Hazard: a JWT that has leaked, or was made for an hour, is a session of the portal, and is never idle."""
    wallet = Wallet()
    async with running.store() as store:
        developer, _ = await Developers(store.redis).create(wallet.address)
        await Memberships(store.redis).put(used.app, developer.developer_id, "owner")
    browser = new_browser(running)
    found = (await wallet.sign_in(browser.http)).json()
    for token, status in ((found["session"], 200), (found["token"], 303), ("a.b.c", 303), (used.key, 303)):
        cookie = {"cookie": f"tollgate={token}"}
        assert (await browser.http.get(used.path, headers=cookie)).status_code == status
        assert (await browser.http.get("/portal/operator", headers=cookie)).status_code == (
            403 if status == 200 else 303
        )
        fields = {"form_token": form_token(token)}
        own = {**cookie, "origin": browser.origin}
        sent = await browser.send(f"{used.path}/webhooks/{'a' * 16}/remove", fields, own)
        assert sent.status_code == (404 if status == 200 else 401)
