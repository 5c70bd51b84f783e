"""Users are found, added, changed and suspended; what they used is what the command says."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from middlewares.auth.keys import pepper_of
from middlewares.ledger.credit import prepaid
from proxy.control.developers.view_links import ViewLinks
from proxy.store.configured import redis_keys
from tests.portal.browser import new_browser, read_page, text_of
from tests.portal.conftest import GRANT, IMAGE, Tenant, tenant
from tests.support.builder import bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_user_is_found_by_either_name_with_what_it_used(running: Deployment, used: Tenant) -> None:
    browser = await used.member("viewer")
    for name in (used.user, " ann "):
        found = await browser.get(f"{used.path}/users", user=name)
        assert (found.status_code, found.headers["location"]) == (303, f"{used.path}/users/{used.user}")
    assert (await browser.get(f"{used.path}/users", user="nobody")).status_code == 404
    page = await browser.page(f"{used.path}/users")
    assert f"{used.path}/users/{used.user}" in read_page(page).links
    assert "Active 3 2,100.000000000000000003 ETH" in text_of(page)
    text = text_of(await browser.page(f"{used.path}/users/{used.user}"))
    assert "Spent 2,100.000000000000000003 ETH" in text
    assert "Requests 3 Pixels 786,432 Generations 3" in text
    assert "None; the app pays" in text
    assert used.user_key.split("_")[1] in text


async def test_a_name_with_spaces_around_it_is_that_of_one_user(running: Deployment) -> None:
    """Hazard: the API takes such names; a search, or a new key, is then for somebody else."""
    mine = await tenant(running, "Spaces")
    browser, other = await mine.member("owner"), await running.user(mine.app, " ann ")
    for name, user in ((" ann ", other), ("ann", mine.user), ("  ann", mine.user)):
        found = await browser.get(f"{mine.path}/users", user=name)
        assert found.headers["location"] == f"{mine.path}/users/{user}", name
        made = await browser.post(f"{mine.path}/keys", name="k", user=name)
        key = made.text.partition('<code class="id">')[2].partition("<")[0]
        assert f"/keys/{key}" in (await browser.page(f"{mine.path}/users/{user}")).text, name


async def test_own_credits_of_a_user_are_shown(running: Deployment, used: Tenant) -> None:
    mine = await tenant(running, "Wallets")
    code, _, error = await running.cli(
        "credits", "grant", str(GRANT), "--app", mine.app, "--user", mine.user, "--reference", "u"
    )
    assert code == 0, error
    text = text_of(await (await mine.member("viewer")).page(f"{mine.path}/users/{mine.user}"))
    assert f"Own credits {GRANT // 10**18:,} ETH available, 0 ETH reserved" in text


async def test_a_wallet_that_is_empty_is_not_called_none(running: Deployment) -> None:
    """Hazard: the page says that the app pays, and each request of the user is refused with 402."""
    mine = await tenant(running, "Empty wallets")
    browser, path = await mine.member("viewer"), f"{mine.path}/users/{mine.user}"
    assert "None; the app pays" in text_of(await browser.page(path))
    settings = running.settings
    async with running.store() as store:
        wallet = store, redis_keys(settings), mine.app, mine.user
        await prepaid.grant(*wallet, 7, reference="in")
        await prepaid.debit(*wallet, 7, reference="out")
        assert (await prepaid.balance(*wallet)).exists
    text = text_of(await browser.page(path))
    assert "Own credits 0 ETH available, 0 ETH reserved; those of the app are not used" in text
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        assert (await http.post("/text-to-image", json=IMAGE, headers=bearer(mine.user_key))).status_code == 402
    async with running.store() as store:
        links = ViewLinks(store.redis, pepper_of(settings.auth))
        _, secret = await links.create(mine.app, "user", mine.user, timedelta(minutes=5))
    view = new_browser(running)
    assert (await view.send(f"/portal/view/{secret}", {})).status_code == 303
    assert "Available credits 0 ETH" in text_of(await view.page("/portal/view"))


@pytest.mark.ci
async def test_users_are_shown_by_page(running: Deployment) -> None:
    mine = await tenant(running, "Many users")
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        for number in range(119):
            made = await http.post(
                f"/api/v1/apps/{mine.app}/users",
                json={"external_id": f"n{number}"},
                auth=httpx.BasicAuth(mine.app, mine.secret),
            )
            assert made.status_code == 201, made.text
    browser = await mine.member("viewer")
    page = read_page(await browser.page(f"{mine.path}/users"))
    [following] = [each for each in page.links if "after=" in each]
    rest = read_page(await browser.page(following))
    found = [each for each in page.links + rest.links if "/users/usr_" in each]
    assert len(found) == len(set(found)) == 120
    assert not [each for each in rest.links if "after=" in each]


async def test_a_user_is_added_changed_and_suspended(running: Deployment) -> None:
    mine = await tenant(running, "Changes")
    browser = await mine.member("developer")
    made = await browser.post(f"{mine.path}/users", external_id="bob <b>", email="bob@example.com")
    again = await browser.post(f"{mine.path}/users", external_id="bob <b>")
    path = made.headers["location"]
    assert (made.status_code, again.status_code) == (303, 409), "an external id is one user's"
    assert path in read_page(again).links
    text = text_of(await browser.page(path))
    assert "bob <b>" in text
    assert "Email bob@example.com" in text
    assert (await browser.post(f"{path}/email", email="robert@example.com")).status_code == 303
    assert "robert@example.com" in (await browser.page(path)).text

    of_ann = f"{mine.path}/users/{mine.user}"
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:

        async def status() -> int:
            return (await http.get("/api/v1/user/usage", headers=bearer(mine.user_key))).status_code

        assert await status() == 200
        assert (await browser.post(f"{of_ann}/status", status="suspended")).status_code == 303
        assert await status() in (401, 403)
        assert "Create a key for this user" not in (await browser.page(of_ann)).text
        assert (await browser.post(f"{of_ann}/status", status="active")).status_code == 303
        assert await status() == 200
    [link] = [each for each in read_page(await browser.page(of_ann)).links if "#create" in each]
    assert f'name="user" maxlength="255" value="{mine.user}"' in (await browser.page(link.partition("#")[0])).text


async def test_fields_that_cannot_be_meant_change_nothing(used: Tenant) -> None:
    browser = await used.member("owner")
    path = f"{used.path}/users/{used.user}"
    before = await browser.shown(path)
    for at, fields, status in (
        (f"{used.path}/users", {"external_id": ""}, 400),
        (f"{used.path}/users", {"external_id": "n" * 256}, 400),
        (f"{used.path}/users", {"external_id": "a\tb"}, 400),
        (f"{used.path}/users", {"external_id": "c", "email": "nobody"}, 400),
        (f"{path}/email", {"email": ""}, 400),
        (f"{path}/email", {"email": f"{'a' * 250}@example.com"}, 400),
        (f"{path}/status", {"status": "inactive"}, 400),
        (f"{path}/status", {}, 400),
        (f"{used.path}/users/usr_{'a' * 16}/status", {"status": "active"}, 404),
    ):
        assert (await browser.post(at, **fields)).status_code == status, fields
    assert await browser.shown(path) == before


@pytest.mark.parametrize("role", ["billing", "viewer"])
async def test_who_may_only_look_changes_no_user(used: Tenant, role: str) -> None:
    browser = await used.member(role)  # type: ignore[arg-type]
    path = f"{used.path}/users"
    assert (await browser.post(path, external_id="x")).status_code == 403
    for act, fields in (("status", {"status": "suspended"}), ("email", {"email": "a@b"})):
        assert (await browser.post(f"{path}/{used.user}/{act}", **fields)).status_code == 403
    assert "Active" in text_of(await browser.page(f"{path}/{used.user}"))
