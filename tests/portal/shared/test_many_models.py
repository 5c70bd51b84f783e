"""The view of a subject that has used more models than a page can show: clients name them as they like."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.history.totals.total import compact
from proxy.store.configured import redis_keys
from tests.portal.browser import text_of
from tests.portal.conftest import tenant
from tests.portal.shared.test_view_links import VIEW, Owner
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]


async def test_a_page_is_no_longer_than_people_read_however_many_models_were_named(running: Deployment) -> None:
    """Hazard: one user names thousands of models, and each look at the view keeps a worker from all others."""
    app = await tenant(running, "House of Models")
    user = await running.user(app.app, "inventive")
    totals: Any = {f"{user}||llm|model-{number}|requests": number for number in range(1, 206)}
    async with running.store() as store:
        name = redis_keys(running.settings).usage(app.app, compact(datetime.now(UTC).date()))
        await store.redis.hset(name, mapping=totals)
    page = await (await Owner(app).opened("inventive")).page(VIEW)
    shown = [number for number in range(1, 206) if f">model-{number}<" in page.text]
    assert shown == list(range(6, 206))
    assert "Smaller ones that are not shown: 5." in text_of(page)
