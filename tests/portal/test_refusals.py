"""A tenant finds its requests by status, and each of its refusals. Hazard: those behind the newest are out of reach."""

from __future__ import annotations

import time

import httpx
import pytest
from ulid import ULID

from middlewares.response.refusals.record import RefusalRecord
from proxy.history.explain.rows import add_refusals
from proxy.history.store import History
from tests.portal.browser import Browser, read_page, text_of
from tests.portal.conftest import IMAGE, tenant
from tests.support.builder import bearer
from tests.support.deployment import Deployment, eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")

MOMENT = int(time.time() * 1_000) - 3_600_000
"""An hour ago: what is older than the history keeps goes when it is tidied."""


def refused(app: str, time_ms: int, status: int, model: str) -> RefusalRecord:
    """Return the record of a refusal."""
    code = "rate_limited" if status == 429 else "insufficient_balance"
    who, what = (str(ULID()), time_ms, app, None, None), ("", "rate_limit", code, status, "no")
    return RefusalRecord(*who, *what, model=model)


async def listed(browser: Browser, path: str) -> list[list[str]]:
    """Return the ids of the requests of each page from here on."""
    found = []
    while path:
        links = read_page(await browser.page(path)).links
        found.append([each.rpartition("/")[2] for each in links if "/requests/" in each])
        path = next((each for each in links if "refused=" in each), "")
    return found


async def test_each_refusal_of_the_app_is_on_one_page(running: Deployment) -> None:
    mine, other = await tenant(running, "Refused often"), await tenant(running, "Refused, too")
    records = [refused(mine.app, MOMENT + number // 40, 402 + 27 * (number % 2), "a/b") for number in range(100)]
    history = History.of(running.settings)
    for each in (records, [refused(other.app, MOMENT, 429, "a/b")]):
        await history.write(add_refusals, each, 10_000)
    await history.close()
    browser, path = await mine.member("viewer"), f"{mine.path}/requests"
    pages = await listed(browser, path)
    found = [each for page in pages for each in page]
    assert (len(found), set(found)) == (100, {each.id for each in records})
    assert len(pages) == 3
    limited = [each for page in await listed(browser, f"{path}?status=429&model=a/b") for each in page]
    assert set(limited) == {each.id for each in records if each.status == 429}
    assert await listed(browser, f"{path}?status=403") == await listed(browser, f"{path}?model=c") == [[]]
    for query in ({"status": "x"}, {"status": "42"}, {"status": "\u0664\u0660\u0662"}, {"refused": "x"}):
        assert (await browser.get(path, **query)).status_code == 400, query


async def test_requests_are_found_by_status(running: Deployment) -> None:
    mine = await tenant(running, "Found by status", plan="narrow")
    served = await mine.use(mine.key)
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        over = (await http.post("/text-to-image", json=IMAGE, headers=bearer(mine.key), timeout=30)).headers
    browser, path = await mine.member("viewer"), f"{mine.path}/requests"

    async def both() -> bool:
        text = (await browser.page(path)).text
        return served in text and over["x-request-id"] in text

    await eventually(both)
    for status, there, not_there in (("200", served, over["x-request-id"]), ("429", over["x-request-id"], served)):
        page = await browser.page(path, status=status)
        assert (there in page.text, not_there in page.text) == (True, False), status
        assert f'name="status" maxlength="3" value="{status}"' in page.text
    none = text_of(await browser.page(path, status="500"))
    assert "There are no requests like this." in none
    assert "No refusal is like this." in none


async def test_refusals_are_not_listed_under_an_ending(running: Deployment) -> None:
    """Hazard: whoever asks for what the client left is shown refusals, as if these had ended so."""
    mine = await tenant(running, "Ended")
    record = refused(mine.app, MOMENT, 429, "a/b")
    history = History.of(running.settings)
    await history.write(add_refusals, [record], 10_000)
    await history.close()
    browser, path = await mine.member("viewer"), f"{mine.path}/requests"
    assert await listed(browser, path) == [[record.id]]
    page = await browser.page(path, outcome="client_disconnect")
    assert record.id not in page.text
    assert "Latest refusals" not in page.text
    assert "Refusals are not shown: a request that was refused has not begun" in text_of(page)
