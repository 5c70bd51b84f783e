"""Members see what was done to the app, but not who acted for the operator."""

from __future__ import annotations

import re

import pytest

from tests.portal.browser import read_page, text_of
from tests.portal.conftest import Tenant, tenant
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


async def test_lines_are_found_by_action_actor_record_and_day(running: Deployment) -> None:
    mine = await tenant(running, "Audited")
    browser = await mine.member("owner")
    await browser.post(f"{mine.path}/users", external_id="carl")
    await browser.post(f"{mine.path}/keys", name="n" * 101)
    path, key = f"{mine.path}/audit", mine.key.split("_")[1]
    await running.cli("keys", "revoke", key)

    async def count(**wanted: str) -> int:
        return len(re.findall(r'<th scope="row"><code>', (await browser.page(path, **wanted)).text))

    assert await count(action="user.create") == 1
    assert await count(action="key") == 2
    assert await count(action="key.revoke", target=key) == 1
    assert await count(target="nothing") == 0
    assert await count(to="2020-01-01") == 0
    assert await count(**{"from": "2020-01-01"}) == await count()
    [actor] = set(re.findall(r"dev_[a-z2-7]{16}", (await browser.page(path, action="user.create")).text))
    assert await count(actor=actor) == 2

    refused = text_of(await browser.page(path, action="key.create"))
    assert "key.create Key A member" in refused
    assert "Refused" in refused
    by_operator = text_of(await browser.page(path, action="key.revoke"))
    assert f"key.revoke Key {key} The operator Done" in by_operator, "not by which account"
    for query in ({"from": "yesterday"}, {"from": "2026-02-02", "to": "2026-02-01"}, {"before": "x"}):
        assert (await browser.get(path, **query)).status_code == 400, query


async def test_lines_are_shown_by_page(running: Deployment) -> None:
    mine = await tenant(running, "Much audited")
    browser = await mine.member("owner")
    token = await browser.form_token()
    for number in range(60):
        await browser.send(f"{mine.path}/users", {"form_token": token, "external_id": f"u{number}"})
    first = await browser.page(f"{mine.path}/audit", action="user.create")
    [following] = [each for each in read_page(first).links if "before=" in each]
    assert "action=user.create" in following
    rest = await browser.page(following)
    found = re.findall(r"usr_[a-z2-7]{16}", first.text + rest.text)
    assert len(found) == len(set(found)) == 60


async def test_nobody_reads_the_lines_of_another_app(used: Tenant, running: Deployment) -> None:
    mine = await tenant(running, "Quiet")
    browser = await mine.member("owner")
    assert (await browser.get(f"{used.path}/audit")).status_code == 404
    for query in ({"target": used.key.split("_")[1]}, {"actor": used.app}):
        assert used.app not in (await browser.page(f"{mine.path}/audit", **query)).text.partition("<table>")[2]
