"""Filters of operators' pages that are refused. Hazard: an error page, and all that was chosen is lost."""

from __future__ import annotations

import pytest

from middlewares.auth.records import Role
from tests.portal.operator.conftest import HOME, House
from tests.portal.test_filters import WRONG_DAYS, assert_shown_again

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize(("query", "field", "words"), WRONG_DAYS)
async def test_wrong_days_of_the_audit_log(house: House, query: dict[str, str], field: str, words: str) -> None:
    kept = {"action": "key", "app": house.tenant.app}
    page = await house.by(Role.VIEWER).get(f"{HOME}/audit", **query, **kept)
    assert_shown_again(page, field, words, {**query, **kept})


async def test_other_fields_of_operators_pages(house: House) -> None:
    good = {"app": house.tenant.app, "month": "2026-11", "plan": "free"}
    for path, query, field, words, status in (
        ("plans/what-if", {**good, "app": "x"}, "app", "Expected the client id of an app.", 400),
        ("plans/what-if", {**good, "app": f"app_{'a' * 16}"}, "app", "There is no such app.", 404),
        ("plans/what-if", {**good, "month": "2026-13"}, "month", "Expected a month such as 2026-11.", 400),
        ("plans/what-if", {**good, "month": "2026-11-21"}, "month", "Expected a month such as 2026-11.", 400),
        ("plans/what-if", {**good, "plan": "<b>"}, "plan", "There is no such plan.", 400),
        ("refusals", {"id": "a/b"}, "id", "There is no such request.", 404),
        ("audit/verification", {"head": "x"}, "head", "must be what an earlier verification showed", 400),
    ):
        kept = {name: text for name, text in query.items() if name != "plan"}
        page = await house.by(Role.VIEWER).get(f"{HOME}/{path}", **query)
        assert_shown_again(page, field, words, kept, status)
