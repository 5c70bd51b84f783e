"""Whatever is sent to the builder API and the admin API, responses are those that the schema names (by schemathesis).

Requests come from the schema, valid ones and broken ones, with ids and credentials that exist beside those that do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.api.schema.campaign import Campaign, admin_campaign, builder_campaign
from tests.support.builder import BuilderApp
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
Maker = Callable[[Deployment, BuilderApp], Awaitable[Campaign]]


@pytest.mark.parametrize("make", [builder_campaign, admin_campaign])
class TestEveryResponseIsOneThatTheSchemaNames:
    """Hazard: an error that no client expects, or a server error, by a request that nobody thought of."""

    @pytest.mark.slow
    async def test_fifty(self, make: Maker, app: BuilderApp, running: Deployment) -> None:
        await run(await make(running, app), running, 50)

    @pytest.mark.fuzz
    @pytest.mark.timeout(3_000)
    async def test_two_thousand(self, make: Maker, app: BuilderApp, running: Deployment) -> None:
        await run(await make(running, app), running, 2_000)


async def run(campaign: Campaign, running: Deployment, cases: int) -> None:
    await asyncio.to_thread(campaign.run, cases)
    statuses = campaign.statuses
    print(f"{statuses.total()} requests: {dict(sorted(statuses.items()))}")
    assert statuses.total() >= cases
    assert {200, 400, 401, 403} <= statuses.keys()
    assert "Traceback" not in running.log.read_text()
