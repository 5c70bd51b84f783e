"""The overview leaves no limit out, and says what is reserved. Hazard: a refusal by what no page shows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from config.plans import Plan
from config.runtime import Currency
from middlewares.auth.records import AppRecord
from middlewares.ledger.credit.prepaid import Balance
from proxy.portal.pages import Pages
from proxy.portal.tenant.limits import read_limits
from proxy.reporting.dates import Days
from proxy.reporting.totals import UsageTotal
from proxy.store.configured import redis_keys
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")

PLAN = Plan.model_validate(
    {
        "tier": "standard",
        "limits": {"app": {"requests_per_day": 5}},
        "fallbacks": [
            {"workload": "text-to-image", "model": "m", "limits": {"app": {"requests_per_day": 2}}},
            {"pool": "main", "limits": {"user": {"requests_per_minute": 3}, "app": {"concurrent": 4}}},
        ],
    }
)


async def test_limits_of_fallbacks_are_shown_as_such(running: Deployment) -> None:
    app = AppRecord("app_a", "A", "p", datetime.now(UTC), "")
    async with running.store() as store:
        sources: Any = SimpleNamespace(client=store.redis, keys=redis_keys(running.settings))
        found = [(each.name, each.scope, each.limit) for each in await read_limits(sources, app, PLAN, Currency())]
    assert found == [
        ("Requests in 24 hours", "the app", "5"),
        ("Requests in 24 hours, of Text to image that falls back", "the app", "2"),
        ("Requests at once, of what falls back", "the app", "4"),
        ("Requests in a minute, of what falls back", "each user", "3"),
    ]


@pytest.mark.parametrize("with_shares", [True, False])
async def test_what_workers_keep_ready_is_not_called_running(with_shares: bool) -> None:
    today = date(2026, 11, 30)
    visit = SimpleNamespace(client_id="app_a", form_token="")
    page = Pages(Currency()).show(
        "overview_now.html",
        visit,
        plan_name="p",
        plan_known=True,
        prepaid=True,
        balance=Balance(10, 2, 3),
        with_shares=with_shares,
        month=Days(today, today),
        used=UsageTotal(),
        forecast=None,
        columns=[],
        limits=[],
        running=[],
        running_count=0,
    )
    assert ("kept ready by workers for the next ones" in bytes(page.body).decode()) == with_shares
