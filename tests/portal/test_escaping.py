"""Whatever somebody has written into a field is shown as text, and never runs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from tests.portal.browser import read_page, text_of
from tests.portal.conftest import tenant
from tests.support.builder import bearer
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

OWN_SCRIPT = '<script nonce="{{ nonce }}" src="/portal/static/'
SCRIPT = """"><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7*7 }}"""


@pytest.mark.ci
async def test_no_text_becomes_a_script(running: Deployment) -> None:
    """Names of apps, users, keys, descriptions, models, what a browser calls itself, and what a query says."""
    mine = await tenant(running, SCRIPT, external_id=SCRIPT)
    browser = await mine.member("owner")
    browser.http.headers["user-agent"] = SCRIPT
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False) as http:
        auth = httpx.BasicAuth(mine.app, mine.secret)
        made = await http.post(
            f"/api/v1/apps/{mine.app}/keys", json={"name": SCRIPT[:100], "description": SCRIPT}, auth=auth
        )
        key = made.json()
        limited = {"models": [SCRIPT], "origins": None}
        assert (await http.patch(f"/api/v1/apps/{mine.app}/keys/{key['key_id']}", json=limited, auth=auth)).is_success
        sent = await http.post(
            "/text-to-image", json={"model_id": SCRIPT, "prompt": "p"}, headers=bearer(mine.user_key)
        )
        assert sent.status_code == 200, sent.text
    await running.settled(2, mine.app)
    rotated = await browser.post(f"{mine.path}/keys/{key['key_id']}/rotate", overlap="24")
    email = """"<script>alert(1)</script>@{{7*7}}"""
    changed = await browser.post(f"{mine.path}/users/{mine.user}/email", email=email)
    assert changed.status_code == 303, changed.text
    described = {"description": SCRIPT[:100], "url": "https://hooks.example.com/?q=<script>alert(1)</script>"}
    made = await browser.post(f"{mine.path}/webhooks", **described)
    webhook = read_page(made).links[-1]
    requests = await browser.page(f"{mine.path}/requests", model=SCRIPT, outcome=SCRIPT)
    request_id = sent.headers["x-request-id"]
    [month] = [each for each in read_page(await browser.page(f"{mine.path}/statements")).links if each[-3] == "-"]
    below = ("", "/keys", f"/keys/{key['key_id']}", "/requests", f"/requests/{request_id}")
    more = ("/users", f"/users/{mine.user}", "/webhooks", "/try", f"/try?key={key['key_id']}")
    pages = [
        rotated,
        made,
        await browser.page(webhook),
        await browser.page(month),
        requests,
        *[await browser.page(mine.path + each) for each in (*below, *more)],
    ]
    pages += [await browser.page(f"{mine.path}/usage", by=by) for by in ("user", "model", "key")]
    pages += [await browser.get(f"{mine.path}/usage", **{name: SCRIPT}) for name in ("by", "from")]
    pages += [await browser.page(f"{mine.path}/audit", **{each: SCRIPT}) for each in ("action", "actor", "target")]
    pages += [await browser.get(f"{mine.path}/requests", before=SCRIPT), await browser.page("/portal/sessions")]
    for page in pages:
        tags = [tag for tag, _ in read_page(page).tags]
        assert page.text.count("<script") == tags.count("script") == 2, page.url
        assert not [members for tag, members in read_page(page).tags if "onerror" in members]
        assert "49" not in text_of(page).split(), "a template renders no text of others as one"
    shown = " ".join(text_of(page) for page in pages)
    assert shown.count("<script>alert(1)</script>") >= len(pages)


def every_template() -> dict[str, str]:
    """Return the texts of all templates by their names."""
    folder = Path(str(files("proxy.portal") / "templates"))
    return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*.html")}


async def test_no_template_turns_escaping_off() -> None:
    templates = every_template()
    assert len(templates) > 10
    for name, text in templates.items():
        for word in ("|safe", "| safe", "autoescape", "Markup", "style=", "javascript:", "hx-on"):
            assert word not in text
        assert name == "base.html" or "<script" not in text.replace(OWN_SCRIPT, "")
