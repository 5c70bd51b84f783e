"""Today, attention, refusals and audit: what they show is what commands print, and each role does what it may."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from middlewares.auth.records import Role
from proxy.history import places
from proxy.history.places import TimePlace
from proxy.reporting.dates import redis_today
from tests.api.admin.attention import needs_attention
from tests.portal.browser import as_shown, read_page, text_of
from tests.portal.conftest import PRICE, tenant
from tests.portal.operator.conftest import HOME, ROLES, House, submit
from tests.portal.test_escaping import SCRIPT
from tests.portal.test_pages import balanced, scripts_of
from tests.support.builder import bearer
from tests.support.deployment import eventually

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

PAGES = (
    "",
    "/sessions",
    "/tenants",
    "/plans",
    "/gateways",
    "/streams",
    "/attention",
    "/refusals",
    "/audit",
    "/audit/verification",
)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
async def test_every_page_is_for_every_role(house: House, role: Role) -> None:
    for below in PAGES:
        page = await house.by(role).page(HOME + below)
        reader = read_page(page)
        names = [tag for tag, _ in reader.tags]
        assert balanced(page.text), below
        assert names.count("h1") == names.count("main") == 1, below
        assert not {"style", "iframe"} & set(names), below
        assert [each for tag, each in reader.tags if tag == "script"] == scripts_of(page), below
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"


async def printed(house: House, *arguments: str) -> Any:
    """Return what a command prints as JSON."""
    code, text, error = await house.deployment.cli(*arguments, "--json")
    assert code == 0, error
    return json.loads(text)


async def test_today_is_the_sum_that_commands_print(house: House) -> None:
    second = await tenant(house.deployment, "Second House")
    third = await tenant(house.deployment, "Third House")
    for mine, times in (second, 4), (third, 5):
        await mine.use(mine.key, times)
        await house.deployment.settled(times + 1, mine.app)
    apps = await printed(house, "apps", "list")

    async def equal() -> bool:
        totals = []
        for start in range(0, len(apps), 8):  # at once, for each is a command
            some = (printed(house, "usage", "--app", each["client_id"]) for each in apps[start : start + 8])
            totals += [each["totals"] for each in await asyncio.gather(*some)]
        amount, requests = sum(int(each["amount"]) for each in totals), sum(each["request_count"] for each in totals)
        assert amount >= 9 * PRICE
        shown = text_of(await house.by(Role.VIEWER).page(HOME))
        assert "Second House" in shown
        return f"Revenue {as_shown(amount)}" in shown and f"Requests {requests:,} metered" in shown

    await eventually(equal, 90)  # requests of other tests may be settled in between


async def test_network_units_are_those_of_todays_events(house: House) -> None:
    mine = await tenant(house.deployment, "House of Today")
    await mine.use(mine.key)

    async def shown() -> bool:
        async with house.deployment.store() as store:
            day = (await redis_today(store.redis)).isoformat()
        events = [each for each in await house.deployment.events() if each["network_units"] and each["time"] >= day]
        pixels = sum(each["network_units"] for each in events if each["workload"] == "text-to-image")
        text = text_of(await house.by(Role.VIEWER).page(HOME))
        network = re.findall(r"Network units Workload Number Unit (.*?) What", text)
        assert len(network) <= 1, "there is one such table, or none yet"
        return pixels > 0 and any(f"Text to image {pixels:,} Pixels" in each for each in network)

    await eventually(shown)


async def test_the_way_back_to_the_first_page_keeps_what_was_searched_for(house: House) -> None:
    browser, operator = await house.tenant.member("viewer"), house.by(Role.VIEWER)
    place = places.text_of(TimePlace(1, ""))
    for reader, path, back in (
        (browser, f"{house.tenant.path}/requests?model=m%2F1&outcome=complete&before={place}", "?model=m%2F1&outcome="),
        (browser, f"{house.tenant.path}/audit?action=key&before=1-1-x", "?action=key"),
        (operator, f"{HOME}/audit?action=key&app={house.tenant.app}&before=1-1-x", f"?app={house.tenant.app}&action="),
        (operator, f"{HOME}/tenants?search=no+such&after=app_a", "?search=no+such"),
    ):
        [link] = [each for each in read_page(await reader.page(path)).links if back in each]
        assert ("before=" in link, "after=" in link) == (False, False), path


async def test_refusals_are_counted_listed_and_explained(house: House) -> None:
    narrow, browser = await tenant(house.deployment, SCRIPT, plan="narrow"), house.by(Role.VIEWER)
    async with httpx.AsyncClient(base_url=house.deployment.public, trust_env=False) as http:
        for _ in range(3):
            body = {"model_id": "stabilityai/sdxl-turbo", "prompt": "p"}
            refused = await http.post("/text-to-image", json=body, headers=bearer(narrow.key))
    assert refused.status_code == 429
    request_id = refused.headers["x-request-id"]

    async def listed() -> bool:
        return request_id in (await browser.page(f"{HOME}/refusals")).text

    await eventually(listed)
    page = await browser.page(f"{HOME}/refusals")
    assert [each for tag, each in read_page(page).tags if tag == "script"] == scripts_of(page)
    assert SCRIPT.split(" ")[0] in text_of(page)
    explained = await browser.page(f"{HOME}/requests/{request_id}")
    assert "Why it was refused" in text_of(explained)
    assert narrow.app in explained.text
    assert (await browser.get(f"{HOME}/refusals", id=request_id)).headers["location"].endswith(request_id)
    assert (await browser.get(f"{HOME}/refusals", id="<b>")).status_code == 404
    assert (await browser.get(f"{HOME}/requests/nothing")).status_code == 404
    assert (await browser.get(f"{HOME}/refusals", before="x")).status_code == 400
    older = await browser.page(f"{HOME}/refusals", before=places.text_of(TimePlace(0, "")))
    assert "No older request was refused" in text_of(older)

    async def counted() -> bool:
        async with httpx.AsyncClient(base_url=house.deployment.private, trust_env=False) as http:
            metrics = (await http.get("/metrics")).text
        number = metrics.partition('tollgate_refusals_total{code="rate_limited"} ')[2].partition("\n")[0]
        found = text_of(await browser.page(HOME))
        by_rule = re.search(r"rate_limited (\d+) (?:by \S+ \d+ )*?by app-requests-per-day (\d+)", found)
        return bool(number) and by_rule is not None and int(by_rule[1]) == int(float(number)) >= int(by_rule[2]) >= 2

    await eventually(counted)


async def test_an_explanation_names_the_gateway_to_operators_alone(house: House) -> None:
    mine = house.tenant
    request_id = await mine.use(mine.key)
    await house.deployment.settled(7, mine.app)
    own = await house.by(Role.VIEWER).page(f"{HOME}/requests/{request_id}")
    gateways = house.deployment.gateway.url, house.second.url
    assert any(each in own.text for each in gateways)
    member = await (await mine.member("owner")).page(f"{mine.path}/requests/{request_id}")
    assert not any(each in member.text for each in gateways)


async def test_what_needs_attention_is_shown_oldest_first_and_decided_once(house: House) -> None:
    mine, other = await tenant(house.deployment, "Attention A"), await tenant(house.deployment, "Attention B")
    events = [
        (await needs_attention(house.deployment, app, amount=amount, reserved=reserved), app)
        for app, amount, reserved in (
            (mine.app, 1_000, None),
            (other.app, 0, 2_000),
            (mine.app, 3_000, None),
            (other.app, 5_000, None),
        )
    ]
    page = await house.by(Role.VIEWER).page(f"{HOME}/attention")
    places = [page.text.index(f"/requests/{each.id}") for each, _ in events]
    assert places == sorted(places)
    assert "/attention/app_" not in page.text, "who may not decide is offered nothing"
    for role in ROLES:
        event, app = events[0]
        response = await submit(house.by(role), f"{HOME}/attention/{app}/{event.id}", decision="refund", note="n")
        assert response.status_code == (303 if role.covers(Role.SUPPORT) else 403), response.text
    wrong = await submit(house.by(Role.SUPPORT), f"{HOME}/attention/{events[2][1]}/{events[2][0].id}", decision="x")
    assert wrong.status_code == 400
    assert (
        await submit(house.by(Role.SUPPORT), f"{HOME}/attention/{mine.app}/none", decision="accept")
    ).status_code == 404
    charge = await submit(
        house.by(Role.SUPPORT), f"{HOME}/attention/{other.app}/{events[1][0].id}", decision="charge", note=""
    )
    assert charge.status_code == 303, charge.text
    text = (await house.by(Role.VIEWER).page(f"{HOME}/attention")).text
    assert [each.id in text for each, _ in events] == [False, False, True, True]
    for app in (mine.app, other.app):
        open_ids = {each["event"] for each in await printed(house, "attention", "list", "--app", app)}
        assert open_ids == {each.id for each, owner in events[2:] if owner == app}
    again = await submit(house.by(Role.SUPPORT), f"{HOME}/attention/{mine.app}/{events[0][0].id}", decision="accept")
    assert again.status_code == 409, "another decision comes too late"


@pytest.mark.slow
async def test_audit_lines_are_those_of_the_command(house: House) -> None:
    mine, browser = await tenant(house.deployment, "Audited"), house.by(Role.VIEWER)
    await submit(house.by(Role.ADMIN), f"{HOME}/tenants/{mine.app}/grant", amount="1", reference=SCRIPT, note=SCRIPT)
    await submit(house.by(Role.SUPPORT), f"{HOME}/tenants/{mine.app}/suspend")
    page = await browser.page(f"{HOME}/audit", app=mine.app)
    lines = await printed(house, "audit", "list", "--app", mine.app)
    actions = [each["action"] for each in lines]
    assert actions == ["credits.add", "app.suspend"]
    shown = text_of(page)
    assert [shown.count(each) for each in ("app.suspend", "credits.add")] == [1, 1]
    assert [each for tag, each in read_page(page).tags if tag == "script"] == scripts_of(page)
    assert "a admin" in text_of(await browser.page(f"{HOME}/audit", action="credits", app=mine.app))
    none = await browser.page(f"{HOME}/audit", app=mine.app, to="2020-01-01")
    assert "There are no lines like this" in text_of(none)
    for wrong in ({"from": "yesterday"}, {"before": "x"}):
        assert (await browser.get(f"{HOME}/audit", **wrong)).status_code == 400
    verified = await printed(house, "audit", "verify")
    assert "The audit log is whole" in text_of(await browser.page(f"{HOME}/audit/verification"))
    assert (await browser.page(f"{HOME}/audit/verification", head=verified["head"])).status_code == 200
    gone = await browser.page(f"{HOME}/audit/verification", head=f"99999:{'a' * 64}")
    assert "Something is wrong" in text_of(gone)


async def test_a_place_that_no_page_has_named_is_refused(house: House) -> None:
    """Hazard: numbers that no database holds, and text that PostgreSQL does not take."""
    operator, owner = house.by(Role.VIEWER), await house.tenant.member("owner")
    app = house.tenant.path
    for place in (TimePlace(2**63, "one"), TimePlace(-1, "one"), TimePlace(1, "one\0")):
        for browser, path in ((operator, f"{HOME}/attention?after="), (owner, f"{app}/requests?before=")):
            assert (await browser.get(path + places.text_of(place))).status_code == 400, (path, place)
    for text in (f"{2**63}-1-one", f"1-{2**63}-one", "1-1-one%7f", "1-1-one%00"):
        for browser, path in ((operator, f"{HOME}/audit?before="), (owner, f"{app}/audit?before=")):
            assert (await browser.get(path + text)).status_code == 400, (path, text)
    for browser, path in ((operator, f"{HOME}/audit?action=a%00"), (owner, f"{app}/requests?model=a%00")):
        assert (await browser.get(path)).status_code == 400, path


async def test_a_decision_that_is_refused_keeps_its_note(house: House) -> None:
    mine, browser = await tenant(house.deployment, "Attention C"), house.by(Role.SUPPORT)
    event, other = [await needs_attention(house.deployment, mine.app) for _ in range(2)]
    page = await submit(browser, f"{HOME}/attention/{mine.app}/{event.id}", note=SCRIPT, decision="")
    assert (page.status_code, "Decision: expected one of" in text_of(page)) == (400, True)
    found, action = dict[str, str | None](), ""
    for tag, members in read_page(page).tags:
        action = members.get("action") or "" if tag == "form" else action
        if tag == "input" and members["name"] == "note":
            found[action.rpartition("/")[2]] = members.get("value")
    assert (found[event.id], found[other.id]) == (SCRIPT, "")
    late = await submit(browser, f"{HOME}/attention/{mine.app}/{event.id}?after=x", note="n", decision="")
    assert late.status_code == 400
    for each in (event, other):
        await submit(browser, f"{HOME}/attention/{mine.app}/{each.id}", decision="accept")
