"""Page, file, API and command show the same numbers, to the unit."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re

import httpx
import pytest

from tests.portal.browser import read_page, text_of
from tests.portal.conftest import GRANT, IMAGE, PRICE, Tenant, tenant
from tests.support.deployment import Deployment, eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")

DIMENSIONS = ("day", "month", "workload", "model", "user", "key")


@pytest.mark.slow
@pytest.mark.parametrize("by", DIMENSIONS)
async def test_usage_is_that_of_api_and_command(running: Deployment, used: Tenant, by: str) -> None:
    browser = await used.member("billing")
    file = await browser.page(f"{used.path}/usage.csv", by=by)
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="[a-z0-9_.-]+\.csv"', file.headers["content-disposition"])
    code, printed, _ = await running.cli("usage", "--app", used.app, "--group-by", by, "--format", "csv")
    assert (code, printed.splitlines()) == (0, file.text.splitlines())
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert sum(int(row["amount"]) for row in rows) == 5 * PRICE

    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        response = await http.get(
            f"/api/v1/apps/{used.app}/usage", params={"groupBy": by}, auth=httpx.BasicAuth(used.app, used.secret)
        )
    report = response.json()
    assert report["totals"] == {"requestCount": 5, "totalFeeWei": str(5 * PRICE)}
    if by == "user":
        groups = {each["endUserId"]: each["feeWei"] for each in report["byUser"] if each["feeWei"] != "0"}
        found = {row["user"]: row["amount"] for row in rows if row["user"]}
    else:
        groups = {each["value"] or "": each["feeWei"] for each in report["groups"]}
        found = {row[by]: row["amount"] for row in rows}
    assert found == groups

    text = text_of(await browser.page(f"{used.path}/usage", by=by))
    assert "Total 3,500.000000000000000005 ETH 5" in text
    for row in rows:
        whole, rest = divmod(int(row["amount"]), 10**18)
        assert f"{whole:,}.{rest:018d} ETH {row['request_count']}" in text
    for dimension in DIMENSIONS:
        assert f'<option value="{dimension}"' in (await browser.page(f"{used.path}/usage")).text


async def test_the_period_is_the_one_that_is_asked_for(used: Tenant) -> None:
    browser = await used.member("billing")
    past = {"from": "2026-01-01", "to": "2026-01-31", "by": "model"}
    page = await browser.page(f"{used.path}/usage", **past)
    assert "Nothing was used from 2026-01-01 to 2026-01-31." in text_of(page)
    [link] = [each for each in read_page(page).links if "usage.csv" in each]
    assert link.endswith("?from=2026-01-01&to=2026-01-31&by=model")
    assert len((await browser.page(link)).text.splitlines()) == 1


async def test_where_nothing_costs_anything_requests_are_charted(running: Deployment) -> None:
    free = await tenant(running, "nothing costs anything", "unlimited")
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        key = await running.key(free.app)
        for _ in range(2):
            assert (await http.post("/text-to-image", json=IMAGE, headers={"x-api-key": key})).status_code == 200
    await running.settled(3, free.app)  # a grant, and both requests
    page = (await (await free.member("viewer")).page(f"{free.path}/usage")).text
    assert "Requests by day" in page
    assert ": 2 requests</title>" in page


async def test_no_cell_of_the_file_is_a_formula(running: Deployment) -> None:
    mine = await tenant(running, "Cells")
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        model = "=HYPERLINK(0)"
        body = {"model_id": model, "prompt": "p"}
        response = await http.post("/text-to-image", json=body, headers={"authorization": f"Bearer {mine.key}"})
    assert response.status_code == 200, response.text
    await running.settled(2, mine.app)
    browser = await mine.member("viewer")
    assert f"\n'{model}," in (await browser.page(f"{mine.path}/usage.csv", by="model")).text.replace("\r", "")


async def test_requests_are_found_by_model_ending_page_and_id(running: Deployment, used: Tenant) -> None:
    browser = await used.member("viewer")
    rows = await running.events(used.app)
    ids = [each["id"] for each in rows if each["type"] == "usage"]
    page = await browser.page(f"{used.path}/requests")
    for each in ids:
        assert f"{used.path}/requests/{each}" in read_page(page).links
    model = "stabilityai/sdxl-turbo"
    for params, number in (
        ({"model": model}, 5),
        ({"model": "other"}, 0),
        ({"outcome": "complete"}, 5),
        ({"outcome": "refused"}, 0),
        ({"model": model, "outcome": "complete"}, 5),
    ):
        found = await browser.page(f"{used.path}/requests", **params)
        assert sum(link.rpartition("/")[2] in ids for link in read_page(found).links) == number, params
    found = await browser.get(f"{used.path}/requests", id=f" {ids[0]} ")
    assert (found.status_code, found.headers["location"]) == (303, f"{used.path}/requests/{ids[0]}")
    assert (await browser.get(f"{used.path}/requests", id="../keys")).status_code == 404


async def test_a_charge_is_explained_line_by_line(running: Deployment, used: Tenant) -> None:
    browser = await used.member("viewer")
    event = next(each for each in await running.events(used.app) if each["type"] == "usage")
    text = text_of(await browser.page(f"{used.path}/requests/{event['id']}"))
    _, printed, _ = await running.cli("explain", event["id"], "--json")
    assert json.loads(printed)["settlement"]["charged"] == str(PRICE)
    assert "Charge 700.000000000000000001 ETH The lines of its price add up to it." in text
    assert "Generations 1 700.000000000000000001 ETH 700.000000000000000001 ETH" in text
    assert running.gateway.url.removeprefix("http://") not in text, "origins of gateways are for operators"


async def test_a_refusal_is_explained_by_its_rule(running: Deployment) -> None:
    mine = await tenant(running, "Narrow", plan="narrow")
    await mine.use(mine.key)
    refused = await mine.use(mine.key)
    browser = await mine.member("viewer")
    path = f"{mine.path}/requests/{refused}"

    async def is_recorded() -> bool:
        return (await browser.get(path)).status_code == 200

    await eventually(is_recorded)
    text = text_of(await browser.page(path))
    assert "Refused request" in text
    assert "Too many requests (429), by the limits of the plan or key" in text
    assert "The rule app-requests-per-day : 1 of 1 request were used" in text
    assert f"{mine.path}/requests/{refused}" in read_page(await browser.page(f"{mine.path}/requests")).links


async def test_what_runs_is_shown_with_what_it_reserves(running: Deployment) -> None:
    mine = await tenant(running, "Running")
    browser = await mine.member("viewer")
    held = {"authorization": f"Bearer {mine.key}", "x-mock-gateway": "hold=portal"}
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False, timeout=30) as http:
        sent = asyncio.create_task(http.post("/text-to-image", json=IMAGE, headers=held))

        async def is_running() -> bool:
            return "Running now 1" in text_of(await browser.page(mine.path))

        await eventually(is_running)
        page = await browser.page(mine.path)
        text = text_of(page)
        left = GRANT - PRICE
        assert f"Available {left // 10**18:,}.{left % 10**18:018d} ETH" in text
        assert "Reserved 700.000000000000000001 ETH" in text
        assert "Requests at once the app 1 / 7" in text
        assert "0 ETH / 100,000,000 ETH and 700.000000000000000001 ETH reserved" in text
        [link] = [each for each in read_page(page).links if "/requests/" in each]
        shown = text_of(await browser.page(link))
        assert "Running request" in shown
        assert "700.000000000000000001 ETH is reserved now" in shown
        running.gateway.release("portal")
        assert (await sent).status_code == 200
    await running.settled(2, mine.app)
    assert "Running now 0" in text_of(await browser.page(mine.path))
