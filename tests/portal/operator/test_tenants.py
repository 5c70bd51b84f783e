"""An operator manages tenants as far as its role goes, with the numbers of commands, and looks at one as a viewer."""

from __future__ import annotations

import json
import re

import pytest
from starlette.routing import Route

from middlewares.auth.keys import pepper_of
from middlewares.auth.records import Role
from proxy.control.apps import Apps
from proxy.portal.words import capitalize_first
from tests.portal.browser import Browser, as_shown, developer_of, read_page, text_of
from tests.portal.conftest import GRANT, PRICE, Tenant, tenant
from tests.portal.operator.conftest import HOME, ROLES, House, operator_in, operator_of, submit, token_of
from tests.portal.test_escaping import SCRIPT
from tests.portal.test_filters import assert_shown_again
from tests.portal.test_forms import SIGN_IN_FORMS, served
from tests.portal.test_pages import scripts_of

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


def place(of: Tenant) -> str:
    """Return the page of a tenant."""
    return f"{HOME}/tenants/{of.app}"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("role", ROLES)
async def test_a_tenant_is_shown_with_the_numbers_of_commands(house: House, role: Role) -> None:
    page = await house.by(role).page(place(house.tenant))
    shown = text_of(page)
    _, printed, _ = await house.deployment.cli("credits", "show", "--app", house.tenant.app, "--json")
    wallet = json.loads(printed)
    _, printed, _ = await house.deployment.cli("usage", "--app", house.tenant.app, "--json")
    usage = json.loads(printed)
    assert int(usage["totals"]["amount"]) >= 5 * PRICE
    assert int(wallet["available"]) == GRANT - int(usage["totals"]["amount"])
    for amount in (wallet["available"], wallet["granted"], wallet["held"], usage["totals"]["amount"]):
        assert as_shown(int(amount)) in shown
    assert "Picture House" in shown
    forms = {action.rpartition("/")[2] for method, action in read_page(page).forms if method == "POST"}
    assert (
        forms - {"sign-out", "remove"}
        == {
            Role.VIEWER: {"look"},
            Role.SUPPORT: {"look", "suspend"},
            Role.ADMIN: {"look", "suspend", "plan", "grant", "debit", "members"},
        }[role]
    ), "nobody is offered what the role may not do"


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
async def test_each_role_does_what_the_admin_api_lets_it_do(house: House, role: Role) -> None:
    mine, browser = await tenant(house.deployment, f"Roles of {role}"), house.by(role)
    developer = await developer_of(house.deployment)
    acts: list[tuple[str, dict[str, str], Role, str]] = [
        ("suspend", {}, Role.SUPPORT, "app.suspend"),
        ("resume", {}, Role.SUPPORT, "app.resume"),
        ("plan", {"plan": "narrow"}, Role.ADMIN, "app.change"),
        ("grant", {"amount": "1.5", "reference": "r1", "note": "n"}, Role.ADMIN, "credits.add"),
        ("debit", {"amount": "0.5", "reference": "r2"}, Role.ADMIN, "credits.debit"),
        ("members", {"developer": developer, "role": "billing"}, Role.ADMIN, "member.add"),
        (f"members/{developer}/remove", {}, Role.ADMIN, "member.remove"),
    ]
    for act, fields, needed, action in acts:
        response = await submit(browser, f"{place(mine)}/{act}", **fields)
        allowed = role.covers(needed)
        assert response.status_code == (303 if allowed else 403), (act, response.text)
        expected = ("done", "") if allowed else ("refused", "insufficient_role")
        assert (await house.audit(app=mine.app, action=action))[-1][1:] == expected, act
    _, printed, _ = await house.deployment.cli("apps", "show", mine.app, "--json")
    assert json.loads(printed)["plan"] == ("narrow" if role is Role.ADMIN else "portal")
    _, printed, _ = await house.deployment.cli("credits", "show", "--app", mine.app, "--json")
    assert int(json.loads(printed)["available"]) == GRANT + (10**18 if role is Role.ADMIN else 0)


async def test_what_cannot_be_meant_changes_nothing(house: House) -> None:
    mine, browser = await tenant(house.deployment, "Wrong"), house.by(Role.ADMIN)
    for act, fields in (
        ("plan", {"plan": "nowhere"}),
        ("grant", {"amount": "-1", "reference": "r"}),
        ("grant", {"amount": "1e3", "reference": "r"}),
        ("grant", {"amount": "1", "reference": ""}),
        ("debit", {"amount": "0", "reference": "r"}),
        ("members", {"developer": "dev_x", "role": "owner"}),
        ("members", {"developer": f"dev_{'a' * 16}", "role": "king"}),
    ):
        assert (await submit(browser, f"{place(mine)}/{act}", **fields)).status_code == 400, (act, fields)
    assert (await submit(browser, f"{place(mine)}/debit", amount="999999999", reference="r")).status_code == 303
    too_much = await submit(browser, f"{place(mine)}/debit", amount="2", reference="s")
    assert too_much.status_code == 409, too_much.text
    assert "2 ETH cannot be taken out: 1 ETH of 1 ETH are available" in text_of(too_much), text_of(too_much)
    for path in (f"app_{'a' * 16}", "app_x", "%00"):
        assert (await browser.get(f"{HOME}/tenants/{path}")).status_code in (400, 404)
        assert (await submit(browser, f"{HOME}/tenants/{path}/suspend")).status_code in (400, 404)
    _, printed, _ = await house.deployment.cli("credits", "show", "--app", mine.app, "--json")
    assert int(json.loads(printed)["available"]) == 10**18


async def test_a_refused_form_of_a_tenant_is_shown_again_alone_and_in_the_currency(house: House) -> None:
    """Hazard: what was to be taken out stands in the form that grants, or is told in numbers of another unit."""
    mine, browser = await tenant(house.deployment, "Refused"), house.by(Role.ADMIN)
    assert (await submit(browser, f"{place(mine)}/debit", amount="1", reference="one")).status_code == 303
    fields = {"amount": "1000000000", "reference": "too much", "note": "typed"}
    page = await submit(browser, f"{place(mine)}/debit", **fields)
    why = "1,000,000,000 ETH cannot be taken out: 999,999,999 ETH of 999,999,999 ETH are available."
    assert (page.status_code, f"{why} Nothing was changed." in text_of(page)) == (409, True), text_of(page)
    _, grant, debit = re.split('/grant"|/debit"', page.text)
    for text in fields.values():
        assert (f'value="{text}"' in grant, f'value="{text}"' in debit) == (False, True), text
    assert (await house.audit(app=mine.app, action="credits.debit"))[-1][1:] == ("refused", "insufficient_balance")
    for act, wrong in (("members", {"developer": "dev_x", "role": "owner"}), ("plan", {"plan": "nowhere"})):
        page = await submit(browser, f"{place(mine)}/{act}", **wrong)
        assert (page.status_code, "Nothing was changed." in text_of(page)) == (400, True), act
        assert read_page(page).forms == read_page(await browser.page(place(mine))).forms
    assert 'value="dev_x"' in (await submit(browser, f"{place(mine)}/members", developer="dev_x", role="owner")).text


async def test_an_error_spells_ids_as_they_are(house: House) -> None:
    """Hazard: the id that a message begins with is copied from the page, and is not that of anything."""
    developer = f"dev_{'a' * 16}"
    page = await submit(house.by(Role.ADMIN), f"{place(house.tenant)}/members/{developer}/remove")
    assert (page.status_code, f" {developer} is no member of {house.tenant.app}." in text_of(page)) == (404, True)
    assert [capitalize_first(each) for each in ("the app has", "k7 ended", "")] == ["The app has", "k7 ended", ""]


async def test_a_grant_that_is_sent_twice_counts_once(house: House) -> None:
    mine, browser = await tenant(house.deployment, "Twice"), house.by(Role.ADMIN)
    for _ in range(2):
        assert (await submit(browser, f"{place(mine)}/grant", amount="1", reference="same")).status_code == 303
    _, printed, _ = await house.deployment.cli("credits", "show", "--app", mine.app, "--json")
    assert int(json.loads(printed)["available"]) == GRANT + 10**18


async def test_tenants_are_found_by_name_and_listed_by_page(house: House) -> None:
    async with house.deployment.store() as store:
        apps = Apps(store.redis, pepper_of(house.deployment.settings.auth))
        made = {(await apps.create(f"Paged {number}", "portal"))[0].client_id for number in range(60)}
    browser, seen, path = house.by(Role.VIEWER), list[str](), f"{HOME}/tenants?search=pAGED"
    while path:
        reader = read_page(await browser.page(path))
        seen += [each.rpartition("/")[2] for each in reader.links if "/tenants/app_" in each]
        path = next((each for each in reader.links if "after=" in each), "")
    assert (len(seen), set(seen)) == (60, made)
    one = sorted(made)[7]
    assert one in text_of(await browser.page(f"{HOME}/tenants", search=one))
    assert "No tenant has this" in text_of(await browser.page(f"{HOME}/tenants", search="nobody's"))


async def test_an_operator_looks_as_a_viewer_and_the_tenant_can_see_that(house: House) -> None:
    browser, mine = await house.fresh(Role.VIEWER), house.tenant
    assert (await browser.get(mine.path)).status_code == 404
    begun = await submit(browser, f"{place(mine)}/look")
    assert (begun.status_code, begun.headers["location"]) == (303, mine.path)
    member = await mine.member("viewer")
    for below in ("", "/keys", "/usage?by=user", "/requests"):
        theirs = await member.get(mine.path + below)
        own = await browser.get(mine.path + below)
        assert own.status_code == theirs.status_code, below
        if own.status_code == 200:
            assert "You look at this app as its viewer does" in text_of(own)
            posts = {action for method, action in read_page(own).forms if method == "POST"}
            assert posts == {f"{HOME}/impersonation/end"}
    other = await tenant(house.deployment, "Another")
    assert (await browser.get(other.path)).status_code == 404, "one app at a time"
    ended = await submit(browser, f"{HOME}/impersonation/end")
    assert ended.headers["location"] == place(mine)
    assert (await browser.get(mine.path)).status_code == 404
    lines = await house.audit(app=mine.app, action="impersonation")
    assert lines[-2:] == [("a viewer", "done", ""), ("a viewer", "done", "")]


@pytest.mark.slow
async def test_signing_out_ends_a_look(house: House) -> None:
    browser, mine = await house.fresh(Role.SUPPORT), await tenant(house.deployment, "Looked at")
    await submit(browser, f"{place(mine)}/look")
    await submit(browser, f"{HOME}/sign-out")
    _, printed, _ = await house.deployment.cli("audit", "list", "--app", mine.app, "--json")
    assert (printed.count("impersonation.begin"), printed.count("impersonation.end")) == (1, 1)


@pytest.mark.parametrize("act", ["{session}/end", "end-all"])
async def test_a_session_that_looks_is_ended_from_the_list(house: House, act: str) -> None:
    """Hazard: the app's audit log says that a look began, and never that it ended."""
    operator, mine = await operator_of(house.deployment, Role.SUPPORT), await tenant(house.deployment, f"Left {act}")
    looking, here = await operator_in(house.deployment, operator), await operator_in(house.deployment, operator)
    await submit(looking, f"{place(mine)}/look")
    session = (await here.page(f"{HOME}/sessions")).text.split(f"{HOME}/sessions/")[1].partition("/end")[0]
    assert (await submit(here, f"{HOME}/sessions/{act.format(session=session)}")).status_code == 303
    assert (await looking.get(mine.path)).headers["location"] == "/portal/sign-in"
    assert await house.audit(app=mine.app, action="impersonation.end") == [("a support", "done", "")]


@pytest.mark.slow
async def test_a_look_changes_nothing(house: House) -> None:
    """Every form of the portal is sent, as the routes name them, by an administrator who looks."""
    browser, mine = await house.fresh(Role.ADMIN), await tenant(house.deployment, "Watched")
    owner = await mine.member("owner")
    key = next(each for each in read_page(await owner.page(f"{mine.path}/keys")).links if "/keys/" in each)
    await submit(browser, f"{place(mine)}/look")
    before = await snapshot(house, mine, owner)
    names = {
        "client_id": mine.app,
        "key_id": key.rpartition("/")[2],
        "session_id": "a" * 16,
        "developer_id": f"dev_{'a' * 16}",
        "event_id": "x",
        "user_id": mine.user,
        "webhook_id": "a" * 16,
        "delivery_id": f"msg_{'0' * 32}",
        "secret": "tgl_x",
        "stream": "x",
    }
    fields = {"name": key.rpartition("/")[2], "plan": "narrow", "amount": "1", "reference": "r", "decision": "accept"}
    leaving = ("/impersonation/end", "/sign-out", "/sessions/end-all", "/sessions/{session_id}/end")
    tried = [each.path for each in served() if isinstance(each, Route) and "POST" in (each.methods or ())]
    tried = [each for each in tried if not (each.startswith(HOME) and each.endswith(leaving))]
    tried = [each for each in tried if each not in SIGN_IN_FORMS]
    assert len(tried) > 20
    token = await token_of(browser)
    for path in tried:
        if "{secret}" not in path:
            sent = await browser.send(path.format_map(names), {"form_token": token, **fields})
            assert sent.status_code == 403, path
    assert await snapshot(house, mine, owner) == before
    await submit(browser, f"{HOME}/impersonation/end")
    assert (await submit(browser, f"{place(mine)}/plan", plan="narrow")).status_code == 303


async def snapshot(house: House, mine: Tenant, owner: Browser) -> tuple[str, ...]:
    """Return what forms could change of a tenant."""
    commands = [f"apps show {mine.app}"]
    commands += [f"{each} --app {mine.app}" for each in ("credits show", "members list", "keys list", "users list")]
    shown = [(await house.deployment.cli(*each.split(), "--json"))[1] for each in commands]
    return *shown, (await owner.shown(f"{mine.path}/keys")).partition("<table>")[2]


async def test_what_tenants_write_is_text(house: House) -> None:
    mine, browser = await tenant(house.deployment, SCRIPT, external_id=SCRIPT), house.by(Role.ADMIN)
    await submit(browser, f"{place(mine)}/grant", amount="1", reference=SCRIPT, note=SCRIPT)
    for page in (
        await browser.page(place(mine)),
        await browser.page(f"{HOME}/tenants", search=SCRIPT),
        await browser.get(f"{HOME}/tenants", after=SCRIPT),
        await submit(browser, f"{place(mine)}/plan", plan=SCRIPT),
        await browser.page(HOME),
    ):
        tags = read_page(page).tags
        assert [each for tag, each in tags if tag == "script"] == scripts_of(page), page.url
        assert not [members for _, members in tags if "onerror" in members]


async def test_credits_that_are_refused_keep_what_was_typed(house: House) -> None:
    """Hazard: the note and the reference, by which a change counts once, are lost with the amount."""
    mine, browser = await tenant(house.deployment, "Mistaken"), house.by(Role.ADMIN)
    fields = {"amount": "2,5", "reference": "INVOICE-7", "note": SCRIPT}
    for act in ("grant", "debit"):
        page = await submit(browser, f"{place(mine)}/{act}", **fields)
        assert (page.status_code, "Amount: expected a number" in text_of(page)) == (400, True)
        found, inside = dict[str | None, str | None](), False
        for tag, each in read_page(page).tags:
            inside = each.get("action") == f"{place(mine)}/{act}" if tag == "form" else inside
            if tag == "input" and inside:
                found[each.get("name")] = each.get("value")
        assert {name: found[name] for name in fields} == fields
        assert [each for tag, each in read_page(page).tags if tag == "script"] == scripts_of(page)
    assert "INVOICE-7" not in text_of(await browser.page(place(mine)))


async def test_a_member_whom_nobody_knows_keeps_what_was_typed(house: House) -> None:
    mine, browser, developer = await tenant(house.deployment, "Members"), house.by(Role.ADMIN), f"dev_{'a' * 16}"
    page = await submit(browser, f"{place(mine)}/members", developer=developer, role="billing")
    why = "There is no developer of this id."
    assert_shown_again(page, "developer", why, {"developer": developer}, 404)
    assert '<option value="billing" selected>' in page.text
    assert (await house.audit(app=mine.app, action="member.add")) == [("a admin", "refused", "unknown_id")]
