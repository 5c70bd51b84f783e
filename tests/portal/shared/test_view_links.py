"""Links of an app to one page. Hazards: what is of other users, apps and roles, and links that are over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from proxy.control.apps import Apps
from proxy.control.developers import view_links
from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.view_links import ViewLinks, view_links_of
from proxy.control.records import name_of
from proxy.control.users import Users
from tests.portal.browser import Browser, as_shown, developer_of, new_browser, read_page, text_of
from tests.portal.conftest import PRICE, Tenant, tenant
from tests.support.builder import bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
VIEW = "/portal/view"
FOREIGN_PAGE = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}


class Owner:
    """The back end of an app, which makes links."""

    def __init__(self, app: Tenant) -> None:
        self.app = app
        self.path = f"/api/v1/apps/{app.app}/portal-links"

    async def call(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        """Call the API."""
        async with httpx.AsyncClient(base_url=self.app.deployment.public, trust_env=False, verify=False) as http:
            options.setdefault("auth", (self.app.app, self.app.secret))
            return await http.request(method, self.path + path, timeout=30, **options)

    async def link(self, subject: str, **body: Any) -> dict[str, Any]:
        """Create a link."""
        response = await self.call("POST", json={"subject": subject, **body})
        assert response.status_code == 201, response.text
        return dict(response.json())

    async def opened(self, subject: str) -> Browser:
        """Return a browser in which a new link is open."""
        return await opened(self.app.deployment, await self.link(subject))


async def opened(deployment: Deployment, link: dict[str, Any]) -> Browser:
    """Return a browser in which a link is open."""
    browser = new_browser(deployment)
    response = await browser.send(path_of(link), {})
    assert (response.status_code, response.headers["location"]) == (303, VIEW), response.text
    return browser


def path_of(link: dict[str, Any]) -> str:
    """Return the path of a link."""
    return httpx.URL(link["url"]).raw_path.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def house(running: Deployment) -> Tenant:
    """Return a tenant of two users: ann has used something twice, bob once, and the app itself once."""
    found = await tenant(running, "House of Views")
    bob = await running.user(found.app, "bob")
    await found.use(found.user_key, 2)
    await found.use(await running.key(found.app, bob))
    await found.use(found.key)
    await running.settled(5, found.app)
    return found


async def test_a_user_sees_its_own_part_and_nothing_else(house: Tenant) -> None:
    owner = Owner(house)
    link = await owner.link("ann")
    assert (link["kind"], link["subject"]) == ("user", house.user)
    page = await (await opened(house.deployment, link)).page(VIEW)
    text = text_of(page)
    assert f"Spent this month {as_shown(2 * PRICE)}" in text
    assert "Requests this month 2" in text
    assert house.user_key.split("_")[1] in text
    async with house.deployment.store() as store:
        bob = await Users(store.redis).find(house.app, "bob")
    assert bob is not None
    for foreign in ("bob", bob.user_id, house.key.split("_")[1]):
        assert foreign not in page.text
    assert page.text.count('<td class="number">') == 2 + 2 + 2, "one model, its total, two requests"
    assert {action for _, action in read_page(page).forms} == {f"{VIEW}/close"}


async def test_a_member_sees_the_app_as_a_viewer_does(house: Tenant) -> None:
    developer = await developer_of(house.deployment, {house.app: "owner"})
    browser = await Owner(house).opened(developer)
    text = text_of(await browser.page(VIEW))
    assert f"Spent this month {as_shown(4 * PRICE)}" in text
    assert "Requests this month 4" in text
    assert "Available credits" in text


async def test_a_member_sees_which_keys_are_of_suspended_users(running: Deployment) -> None:
    """Hazard: keys that are refused are called active."""
    app = await tenant(running, "House of Sleepers")
    browser = await Owner(app).opened(await developer_of(running, {app.app: "viewer"}))
    assert "User suspended" not in text_of(await browser.page(VIEW))
    async with running.store() as store:
        user = await Users(store.redis).get(app.app, app.user)
        assert user is not None
        await Users(store.redis).change(user, status="suspended")
    page = (await browser.page(VIEW)).text
    for key, status in ((app.user_key, "User suspended"), (app.key, "Active")):
        assert f"<td>{status}</td>" in page.partition(key.split("_")[1])[2].partition("</tr>")[0]


async def test_a_link_opens_one_page_and_changes_nothing(house: Tenant) -> None:
    """Hazard: a link that is more than a viewer, in the portal or in the API."""
    developer = await developer_of(house.deployment, {house.app: "owner"})
    for subject in ("ann", developer):
        link = await Owner(house).link(subject)
        browser = await opened(house.deployment, link)
        for below in ("", "/keys", "/usage", "/usage.csv", "/requests"):
            response = await browser.get(house.path + below)
            assert (response.status_code, response.headers["location"]) == (303, "/portal/sign-in"), below
        for path in (f"{house.path}/keys", "/portal/sessions/end-all", "/portal/sign-out"):
            assert (await browser.send(path, {"form_token": "a" * 64, "name": "n"})).status_code == 401, path
        secret = path_of(link).rpartition("/")[2]
        for credential in (secret, "tgd_" + secret.removeprefix("tgv_")):
            assert (await Owner(house).call("GET", auth=None, headers=bearer(credential))).status_code == 401


async def test_looking_at_a_link_uses_up_nothing(house: Tenant) -> None:
    link = await Owner(house).link("ann")
    browser = new_browser(house.deployment)
    for _ in range(2):
        page = await browser.page(path_of(link))
        assert "set-cookie" not in page.headers
    assert (await browser.get(VIEW)).status_code == 410
    for headers in ({}, FOREIGN_PAGE):
        for path in (path_of(link), f"{VIEW}/close"):
            assert (await browser.send(path, {}, headers)).status_code == 403
    for _ in range(2):
        assert (await browser.send(path_of(link), {})).status_code == 303
    [cookie] = [each for each in browser.http.cookies.jar if each.name == "tollgate-view"]
    assert cookie.expires is not None
    assert (await browser.send(f"{VIEW}/close", {})).status_code == 303
    assert (await browser.get(VIEW)).status_code == 410
    assert (await new_browser(house.deployment).page(path_of(link))).status_code == 200


async def test_a_link_that_is_over_shows_nothing(house: Tenant) -> None:
    owner = Owner(house)
    link = await owner.link("ann", expires_in_seconds=60)
    browser = await opened(house.deployment, link)
    ended = await owner.call("DELETE", f"/{link['link_id']}")
    assert ended.status_code == 200
    assert link["link_id"] not in [each["link_id"] for each in ended.json()["portal_links"]]
    assert (await browser.get(VIEW)).status_code == 410
    assert (await browser.get(path_of(link))).status_code == 410
    assert (await owner.call("DELETE", f"/{link['link_id']}")).status_code == 404
    late = await owner.link("ann")
    browser = await opened(house.deployment, late)
    async with house.deployment.store() as store:
        record = await ViewLinks(store.redis, None).list(house.app)
        await store.redis.pexpire(name_of(record[-1].ref), 0)
    assert (await browser.get(VIEW)).status_code == 410
    good = path_of(await owner.link("ann"))
    for wrong, status in ((good[:-1] + ("a" if good[-1] != "a" else "b"), 404), (f"{VIEW}/x", 404)):
        assert (await browser.get(wrong)).status_code == status
        assert (await browser.send(wrong, {})).status_code == status


async def test_subjects_who_may_not_look_any_more(house: Tenant) -> None:
    owner = Owner(house)
    developer = await developer_of(house.deployment, {house.app: "viewer"})
    other = await developer_of(house.deployment, {house.app: "viewer"})
    gone = await house.deployment.user(house.app, "gone")
    views = [await owner.opened(each) for each in (developer, other, "gone")]
    for browser in views:
        assert (await browser.page(VIEW)).status_code == 200
    async with house.deployment.store() as store:
        await Memberships(store.redis).remove(house.app, developer)
        await Developers(store.redis).suspend(other)
        user = await Users(store.redis).get(house.app, gone)
        assert user is not None
        await Users(store.redis).change(user, status="suspended")
    for browser in views:
        assert (await browser.get(VIEW)).status_code == 410
    assert (await owner.call("POST", json={"subject": developer})).status_code == 404
    assert (await owner.call("POST", json={"subject": gone})).status_code == 403


async def test_links_of_another_app_are_not_there(running: Deployment, house: Tenant) -> None:
    other = Owner(await tenant(running, "Another House", external_id="carl"))
    link = await Owner(house).link("ann")
    assert (await other.call("DELETE", f"/{link['link_id']}")).status_code == 404
    assert link["link_id"] not in (await other.call("GET")).text
    stranger = await developer_of(running, {other.app.app: "owner"})
    for asks, subject in ((other, "ann"), (other, house.user), (other, "nobody"), (Owner(house), stranger)):
        assert (await asks.call("POST", json={"subject": subject})).json()["code"] == "unknown_id"
    theirs = (house.app, house.secret)
    assert (await other.call("POST", auth=theirs, json={"subject": "carl"})).status_code == 404
    assert (await other.call("GET", auth=theirs)).status_code == 404
    browser = await other.opened("carl")
    assert "House of Views" not in (await browser.page(VIEW)).text
    async with running.store() as store:
        await Apps(store.redis, None).set_status(other.app.app, "suspended")
    assert (await browser.get(VIEW)).status_code == 403


async def test_bodies_that_make_no_link(house: Tenant) -> None:
    owner = Owner(house)
    for body in ({}, {"subject": ""}, {"subject": "ann", "expires_in_seconds": 86_401}, {"subject": "ann\n"}):
        assert (await owner.call("POST", json=body)).status_code == 400, body
    for key in (house.key, house.user_key):
        assert (await owner.call("POST", json={"subject": "ann"}, auth=None, headers=bearer(key))).status_code == 403


async def test_a_secret_is_stored_as_a_hash_and_is_in_no_log(house: Tenant) -> None:
    link = await Owner(house).link("ann")
    secret = path_of(link).rpartition("/")[2]
    await opened(house.deployment, link)
    await new_browser(house.deployment).get(path_of(link) + "x")
    async with house.deployment.store() as store:
        stored = await store.redis.get(f"tollgate:view-link:{{{link['link_id']}}}")
        ids = await store.redis.zrange(view_links_of(house.app), 0, -1)
    assert secret.split("_")[2] not in str(stored)
    assert link["link_id"].encode() in ids
    _, audit, _ = await house.deployment.cli("audit", "list", "--app", house.app, "--json")
    for action in ("portal_link.create", "portal_link.open", "portal_link.revoke"):
        assert action in audit
    assert secret.split("_")[2] not in house.deployment.log.read_text() + audit


async def test_an_app_has_so_many_links(house: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_links, "MOST_LINKS", 3)
    async with house.deployment.store() as store:
        links, app = ViewLinks(store.redis, b"pepper"), "app_of_many"
        made = [await links.create(app, "user", "usr", timedelta(hours=hour)) for hour in (5, 1, 2, 3)]
        assert [each.link_id for each in await links.list(app)] == [made[each][0].link_id for each in (0, 2, 3)]
        assert await links.find(made[1][1]) is None
        assert await links.find(made[0][1]) == made[0][0]
