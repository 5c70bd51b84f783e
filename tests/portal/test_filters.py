"""Filters of pages that are refused for what one field says. Hazard: an error page, and all that was chosen is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

import httpx
import pytest

from tests.portal.browser import read_page, text_of
from tests.portal.conftest import Tenant
from tests.portal.test_mistakes import HOSTILE
from tests.portal.test_pages import balanced

pytestmark = pytest.mark.asyncio(loop_scope="package")

WRONG_DAYS = (
    ({"from": "yesterday", "to": "2026-02-01"}, "from", "'yesterday' is not a day; write it as 2026-11-21."),
    ({"from": "2026-02-01", "to": "2026-02-30"}, "to", "'2026-02-30' is not a day"),
    ({"from": "2026-02-02", "to": "2026-02-01"}, "from", "The first day is after the last one."),
    ({"from": HOSTILE}, "from", "is not a day"),
)


def assert_shown_again(
    page: httpx.Response, field: str, words: str, kept: Mapping[str, str], status: int = 400
) -> None:
    """Check that a page has its filter with what was sent, and what is wrong beside the field and nowhere else."""
    assert (page.status_code, balanced(page.text)) == (status, True)
    assert text_of(page).count(words) == 1
    assert "Nothing was changed." not in page.text
    assert "<script>alert" not in page.text
    found = [each for tag, each in read_page(page).tags if tag in ("input", "select")]
    assert [each["name"] for each in found if each.get("aria-invalid")] == [field]
    label = re.search(
        rf'<label[^>]*>(?:(?!</label>).)*<(?:input|select)[^>]* name="{field}".*?</label>', page.text, re.S
    )
    assert label is not None
    assert 'role="alert"' in label[0]
    values = {each["name"]: each.get("value") for each in found}
    assert {name: values[name] for name in kept} == kept


@pytest.mark.parametrize(("query", "field", "words"), WRONG_DAYS)
async def test_wrong_days_of_an_apps_pages(used: Tenant, query: dict[str, str], field: str, words: str) -> None:
    browser = await used.member("owner")
    for page in ("usage", "usage.csv"):
        assert_shown_again(await browser.get(f"{used.path}/{page}", **query, by="model"), field, words, query)
    kept = {"action": "key", "target": HOSTILE}
    assert_shown_again(await browser.get(f"{used.path}/audit", **query, **kept), field, words, {**query, **kept})


async def test_other_fields_of_an_apps_pages(used: Tenant) -> None:
    browser = await used.member("owner")
    for path, query, field, words, status in (
        ("usage", {"by": "tier"}, "by", "and by nothing else", 400),
        ("usage", {"from": "0001-01-01", "to": "2026-01-01"}, "from", "the span covers more than", 400),
        ("requests", {"status": "42", "model": "m"}, "status", "Expected an HTTP status such as 429.", 400),
        ("requests", {"id": "a/b"}, "id", "There is no request of this id in this app.", 404),
        ("users", {"user": "nobody"}, "user", "The app has no such user.", 404),
        ("try", {"key": "a" * 16}, "key", "The app has no such key that works.", 404),
    ):
        kept = {name: text for name, text in query.items() if name not in ("by", "key")}
        assert_shown_again(await browser.get(f"{used.path}/{path}", **query), field, words, kept, status)


async def test_the_filter_goes_on_from_where_it_was_refused(used: Tenant) -> None:
    browser = await used.member("viewer")
    page = await browser.get(f"{used.path}/usage", **{"from": "2026-02-02", "to": "2026-02-01", "by": "user"})
    [chosen] = [each["value"] for tag, each in read_page(page).tags if tag == "option" and "selected" in each]
    assert chosen == "user"
    for link in read_page(page).links:
        if "usage?" in link:
            await browser.page(link)


async def test_what_changes_in_its_place_says_what_it_has_become() -> None:
    """Hazard: somebody who does not see the page is told nothing of what a filter or a link has brought."""
    folder = files("proxy.portal") / "templates"
    texts = {each.name: each.read_text() for each in folder.iterdir() if each.name.endswith(".html")}
    changing = {
        name
        for name, text in texts.items()
        if name != "macros.html" and re.search(r"m\.in_place|m\.pager\((?![^)]*boosted=false)", text)
    }
    assert changing >= {"usage.html", "requests.html", "audit.html", "users.html", "webhook.html", "try_it.html"}
    assert [name for name in changing if "{% block announcement %}" not in texts[name]] == []


async def test_announcements(used: Tenant) -> None:
    browser = await used.member("owner")
    for path, words in (
        ("usage?from=2020-01-01&to=2020-01-31&by=model", "0 requests from 2020-01-01 to 2020-01-31, by model."),
        ("usage?from=x", ""),
        ("requests?model=none", "0 requests shown. 0 refusals shown."),
        ("audit?action=none", "0 lines shown."),
        ("audit?from=x", ""),
    ):
        page = await browser.get(f"{used.path}/{path}")
        [main] = [each for tag, each in read_page(page).tags if tag == "main"]
        assert main["data-announcement"] == words, path
        [region] = [each for tag, each in read_page(page).tags if each.get("id") == "announcement"]
        assert region["aria-live"] == "polite"
