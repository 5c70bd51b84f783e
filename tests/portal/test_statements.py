"""A statement is the one of API and command, on the page and in both files."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.portal.browser import read_page, text_of
from tests.portal.conftest import PRICE, Tenant
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_page_and_files_are_those_of_api_and_command(running: Deployment, used: Tenant) -> None:
    browser = await used.member("billing")
    found = read_page(await browser.page(f"{used.path}/statements"))
    [page_path] = [each for each in found.links if "/statements/" in each and not each.endswith((".csv", ".json"))]
    period = page_path.rpartition("/")[2]
    file = await browser.page(f"{page_path}.csv")
    assert file.headers["content-disposition"] == f'attachment; filename="statement-{used.app}-{period}.csv"'
    code, printed, error = await running.cli("statements", "--app", used.app, "--period", period, "--format", "csv")
    assert (code, printed.splitlines()) == (0, file.text.splitlines()), error
    document = (await browser.page(f"{page_path}.json")).json()
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        auth = httpx.BasicAuth(used.app, used.secret)
        assert (await http.get(f"/api/v1/apps/{used.app}/statements/{period}", auth=auth)).json() == document
    assert document["totals"]["amount"] == str(5 * PRICE)

    page = await browser.page(page_path)
    text = text_of(page)
    assert "Total 3,500.000000000000000005 ETH The period is not over yet." in text
    assert "Text to image stabilityai/sdxl-turbo 3,500.000000000000000005 ETH 5 " in text
    assert "The app 0 ETH 1,000,000,000 ETH 0 ETH 0 ETH 0 ETH 3,500.000000000000000005 ETH" in text
    assert document["events_sha256"] in text
    assert json.dumps(document["event_count"]) in text


async def test_what_is_no_period_is_no_page(used: Tenant) -> None:
    browser = await used.member("viewer")
    for period in ("2026", "2026-13", "2026-11-31", "x", "2026-11.pdf", "%C3%A9", "2026-11.csv.json"):
        assert (await browser.get(f"{used.path}/statements/{period}")).status_code == 404, period
    empty = text_of(await browser.page(f"{used.path}/statements/2020-02"))
    assert "Nothing was used in this period." in empty
