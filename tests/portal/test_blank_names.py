"""Names of nothing but spaces, which the API takes. Hazard: links that have no text, which nobody can see or follow."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx
import pytest

from middlewares.auth.records import Role
from tests.portal.browser import Browser
from tests.portal.conftest import tenant
from tests.portal.operator.conftest import HOME, operator_in, operator_of
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]
BLANK = "   "


class _Links(HTMLParser):
    """Collects the links of a page that have no text."""

    def __init__(self) -> None:
        super().__init__()
        self.without: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a link, or a heading."""
        if tag in ("a", "h1"):
            self._open, self._where = [], str(dict(attrs).get("href"))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self._open.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Close a link, or a heading."""
        if tag in ("a", "h1") and not "".join(self._open).strip():
            self.without.append(self._where)


async def without_text(browser: Browser, path: str) -> list[str]:
    """Return where the links of a page lead that have no text."""
    links = _Links()
    links.feed((await browser.page(path)).text)
    links.close()
    return links.without


async def test_what_has_a_blank_name_can_be_followed(running: Deployment) -> None:
    mine = await tenant(running, BLANK, external_id=BLANK)
    browser = await mine.member("owner")
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        auth = httpx.BasicAuth(mine.app, mine.secret)
        made = await http.post(f"/api/v1/apps/{mine.app}/keys", json={"name": BLANK, "user": mine.user}, auth=auth)
        assert made.is_success, made.text
    key = f"/keys/{made.json()['key_id']}"
    for below in ("", "/keys", key, "/users", f"/users/{mine.user}", "/usage?by=user", "/usage?by=key", "/try"):
        assert await without_text(browser, mine.path + below) == [], below
    operator = await operator_in(running, await operator_of(running, Role.VIEWER))
    for below in ("", "/tenants", f"/tenants/{mine.app}"):
        assert await without_text(operator, HOME + below) == [], below
