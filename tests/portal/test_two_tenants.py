"""Nobody reads or changes what is another app's, whatever the role in one's own; and each role does what it may."""

from __future__ import annotations

import pytest
import pytest_asyncio

from proxy.control.developers.records import MemberRole
from tests.portal.browser import Browser, read_page
from tests.portal.conftest import Tenant, tenant
from tests.portal.test_forms import served
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

ROLES: tuple[MemberRole, ...] = ("owner", "developer", "billing", "viewer")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def other(running: Deployment) -> Tenant:
    """Return another tenant, that has used something, too."""
    found = await tenant(running, "Other House", external_id="secret-user")
    await found.use(found.key)
    await running.settled(2, found.app)
    return found


async def things(of: Tenant) -> tuple[list[str], str]:
    """Return the ids of the keys of an app, those of its users included, and one of its requests."""
    owner = await of.member("owner")
    keys = read_page(await owner.page(f"{of.path}/keys")).links
    requests = read_page(await owner.page(f"{of.path}/requests")).links
    ids = {each.rpartition("/")[2] for each in keys if "/keys/" in each}
    return sorted(ids), next(each for each in requests if "/requests/" in each).rpartition("/")[2]


async def snapshot(of: Tenant) -> list[str]:
    """Return what the owner sees of keys, users and webhooks."""
    owner = await of.member("owner")
    pages = [await owner.page(of.path + below) for below in ("/keys", "/users", "/webhooks")]
    return [page.text.partition("<table>")[2].partition("</table>")[0] for page in pages]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("role", ROLES)
async def test_no_page_shows_what_is_of_another_app(used: Tenant, other: Tenant, role: MemberRole) -> None:
    keys, request_id = await things(other)
    visitor: Browser = await used.member(role)
    month = "/statements/2026-11"
    below = ("", "/keys", "/users", "/usage", "/usage.csv", "/usage?by=user", "/requests", f"/requests/{request_id}")
    more = (
        "/statements",
        month,
        f"{month}.csv",
        f"{month}.json",
        "/webhooks",
        "/try",
        "/audit",
        f"/users/{other.user}",
    )
    for path in (*below, *more, *(f"/keys/{key}" for key in keys)):
        response = await visitor.get(other.path + path)
        assert response.status_code == 404, path
        assert "Other House" not in response.text
    for path in (
        *(f"/requests/{request_id}", f"/users/{other.user}", f"/users?user={other.user}", f"/try?key={keys[0]}"),
        *(f"/keys/{key}" for key in keys),
    ):
        assert (await visitor.get(used.path + path)).status_code == 404, "an id of theirs is none of ours"
    by = ("/usage?by=user", "/usage?by=key", "/usage.csv?by=key")
    for path in (*by, "", "/keys", "/users", "/requests", "/statements", "/webhooks", "/try", "/audit"):
        page = await visitor.page(used.path + path)
        for secret in (*keys, request_id, "secret-user", other.user, other.app):
            assert secret not in page.text, path
    assert "Other House" not in (await visitor.page("/portal/sessions")).text


@pytest.mark.sampled(2)
@pytest.mark.parametrize("role", ROLES)
async def test_no_route_of_another_app_is_there(used: Tenant, other: Tenant, role: MemberRole) -> None:
    """Every page and form below an app, as the routes name them, with ids that are the other's."""
    keys, request_id = await things(other)
    names = {"client_id": other.app, "key_id": keys[0], "user_id": other.user, "request_id": request_id}
    names |= {"period": "2026-11", "webhook_id": "a" * 16, "delivery_id": f"msg_{'0' * 32}"}
    below = [each for each in served() if "{client_id}" in each.path and not each.path.startswith("/portal/operator")]
    assert len(below) > 25
    visitor, before = await used.member(role), await snapshot(other)
    token = await visitor.form_token()
    for route in below:
        path = route.path.format(**names)
        if "POST" in (route.methods or ()):
            response = await visitor.send(path, {"form_token": token, "name": "n", "external_id": "x", "overlap": "0"})
        else:
            response = await visitor.get(path)
        assert response.status_code == 404, (path, route.methods)
        assert "Other House" not in response.text
    assert await snapshot(other) == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize("role", ROLES)
async def test_no_form_changes_what_is_of_another_app(used: Tenant, other: Tenant, role: MemberRole) -> None:
    keys, _ = await things(other)
    visitor, before, own = await used.member(role), await snapshot(other), await snapshot(used)
    for app in (other, used):
        for key in keys:
            for act in ("rotate", "revoke", "change"):
                response = await visitor.post(f"{app.path}/keys/{key}/{act}", name=key, overlap="0")
                assert response.status_code in (403, 404), (app.app, act)
                assert (response.status_code == 403) == (app is used and role in ("billing", "viewer"))
    assert (await visitor.post(f"{other.path}/keys", name="n")).status_code == 404
    for act, fields in (("status", {"status": "suspended"}), ("email", {"email": "a@b"})):
        for app in (other, used):
            changed = await visitor.post(f"{app.path}/users/{other.user}/{act}", **fields)
            assert changed.status_code == (403 if app is used and role in ("billing", "viewer") else 404), act
    for path, fields in (("users", {"external_id": "x"}), ("webhooks", {"url": "https://example.com/"})):
        assert (await visitor.post(f"{other.path}/{path}", **fields)).status_code == 404
    made = await visitor.post(f"{used.path}/keys", name="n", user=other.user)
    assert made.status_code == (403 if role in ("billing", "viewer") else 404), "a user of theirs is none of ours"
    assert await snapshot(other) == before
    assert await snapshot(used) == own


async def test_a_session_of_another_person_is_not_found(used: Tenant) -> None:
    ann, bob = await used.member("owner"), await used.member("owner")
    [path] = [action for _, action in read_page(await bob.page("/portal/sessions")).forms if action.endswith("/end")]
    assert (await ann.post(path)).status_code == 404
    assert (await bob.get(used.path)).status_code == 200


@pytest.mark.sampled(2)
@pytest.mark.parametrize("role", ROLES)
async def test_each_role_changes_what_it_may(running: Deployment, role: MemberRole) -> None:
    """The roles are those of the API: an owner has all keys, a developer those of users, others none."""
    mine = await tenant(running, "Roles")
    keys, of_user = {}, {False: mine.key.split("_")[1], True: mine.user_key.split("_")[1]}
    visitor = await mine.member(role)
    for user in ("", "ann"):
        made = await visitor.post(f"{mine.path}/keys", name=f"by {role}", user=user)
        keys[bool(user)] = made.status_code
        allowed = role == "owner" or (role == "developer" and user == "ann")
        assert made.status_code == (200 if allowed else 403), user
        for act, fields in (("rotate", {"overlap": "1"}), ("revoke", {"name": of_user[bool(user)]})):
            done = await visitor.post(f"{mine.path}/keys/{of_user[bool(user)]}/{act}", **fields)
            assert done.status_code == ((200 if act == "rotate" else 303) if allowed else 403), (user, act)
    _, audit, _ = await running.cli("audit", "list", "--app", mine.app, "--json")
    assert audit.count('"key.create"') == 2
    assert audit.count('"insufficient_scope"') == 2 * 3 - {"owner": 6, "developer": 3}.get(role, 0)
