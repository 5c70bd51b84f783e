"""Pages of refusals. Hazard: a storm leaves many of one millisecond, and some of them are on no page."""

from __future__ import annotations

from time import time_ns

import pytest
from ulid import ULID

from middlewares.auth.records import Role
from middlewares.ledger.periods import DAY_MS
from middlewares.response.refusals.record import RefusalRecord
from proxy.history import places
from proxy.history.explain.rows import add_refusals
from proxy.history.places import TimePlace
from proxy.history.store import History
from tests.portal.browser import read_page
from tests.portal.operator.conftest import HOME, House

pytestmark = pytest.mark.asyncio(loop_scope="package")

STORM = 120
"""More than two pages have."""


@pytest.fixture
def moment() -> int:
    """Return a Unix millisecond before everything that other tests leave, and later than the archiver prunes."""
    return time_ns() // 1_000_000 - DAY_MS


def refused(app: str, time_ms: int) -> RefusalRecord:
    """Return the record of a refusal."""
    return RefusalRecord(
        id=str(ULID()),
        time=time_ms,
        app=app,
        user=None,
        key=None,
        plan="",
        stage="rate_limit",
        code="rate_limited",
        status=429,
        detail="too many",
    )


async def test_refusals_of_one_moment_are_each_on_one_page(house: House, moment: int) -> None:
    app = house.tenant.app
    storm = [refused(app, moment) for _ in range(STORM)]
    records = [refused(app, moment - 1), *storm, refused(app, moment + 1)]
    history = History.of(house.deployment.settings)
    await history.write(add_refusals, records, 10_000)
    await history.close()
    browser = house.by(Role.VIEWER)
    path, found, pages = f"{HOME}/refusals?before={places.text_of(TimePlace(moment + 1, ''))}", list[str](), 0
    while path:
        page = await browser.page(path)
        pages += 1
        links = read_page(page).links
        found += [each.removeprefix(f"{HOME}/requests/") for each in links if "/requests/" in each]
        path = next((each for each in links if "before=" in each), "")
    assert len(found) == len(set(found)), "none is there twice"
    assert set(found) == {each.id for each in records}
    assert (found[0], found[-1], pages) == (records[-1].id, records[0].id, 3)


async def test_places_that_no_page_has_named_are_refused(house: House, moment: int) -> None:
    for before in ("x", f"{moment}.{'a' * 26}", *(places.text_of(TimePlace(each, "a")) for each in (-1, 2**63))):
        assert (await house.by(Role.VIEWER).get(f"{HOME}/refusals", before=before)).status_code == 400, before
