"""The view of a subject that has more keys than the page shows."""

from __future__ import annotations

import pytest

from proxy.control.api_keys import ApiKeys
from tests.portal.browser import text_of
from tests.portal.conftest import tenant
from tests.portal.shared.test_view_links import VIEW, Owner
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


@pytest.mark.slow
async def test_keys_that_work_are_shown_before_those_that_have_ended(running: Deployment) -> None:
    """Hazard: of many keys those are shown that were made first, which are the ones that have ended."""
    app = await tenant(running, "House of Keys")
    user = await running.user(app.app, "many")
    async with running.store() as store:
        keys = ApiKeys(store.redis, None)
        made = [(await keys.create(app.app, user=user, name=f"key {number}"))[0] for number in range(103)]
        for each in made[1:101]:
            await keys.revoke(each.key_id)
    page = await (await Owner(app).opened("many")).page(VIEW)
    shown = [each.name for each in made if f">{each.name}<" in page.text]
    assert len(shown) == 100
    assert {"key 0", "key 101", "key 102"} <= set(shown)
    assert page.text.index(">key 102<") < page.text.index(">key 0<") < page.text.index(">key 100<")
    assert "100 keys are shown, and 3 more have ended or are older." in text_of(page)


async def test_a_key_that_is_chosen_is_offered_and_those_that_are_not_are_counted(running: Deployment) -> None:
    """Hazard: a list of keys that ends without a word, and does not have the one that was chosen."""
    app = await tenant(running, "House of Examples")
    async with running.store() as store:
        keys = ApiKeys(store.redis, None)
        made = [(await keys.create(app.app, name=f"key {number}"))[0] for number in range(201)]
        hidden = len(await keys.list(app.app)) - 200
    browser = await app.member("developer")
    page = await browser.page(f"{app.path}/try")
    assert f"and {hidden} older ones that work are not" in text_of(page)
    assert f'value="{made[0].key_id}"' not in page.text
    page = await browser.page(f"{app.path}/try", key=made[0].key_id)
    assert f'value="{made[0].key_id}" selected' in page.text
