"""`GET /api/v1/metrics`: what a tenant may scrape."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Annotated, Any

from fastapi import Depends, Response

from middlewares.auth.records import AppRecord
from middlewares.auth.verdict import WORK_SCOPES
from middlewares.ledger.admission.rules import LimitRule, rules_of
from middlewares.ledger.credit import prepaid
from proxy.api.caller import Caller, CallerWith
from proxy.api.services import BuilderServices
from proxy.api.tenant_metrics.families import TenantState, metrics_text
from proxy.identity.token_issuer import READ
from proxy.reporting.dates import Days, month_so_far, redis_today
from proxy.reporting.limits import read_uses, running_holds
from proxy.reporting.totals import Dimension, UsageTotal, read_usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
AS_PROMETHEUS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
"""What the schema says of the response."""
Scraper = Annotated[Caller, Depends(CallerWith(READ, *sorted(WORK_SCOPES)))]


class TenantMetricsEndpoint:
    """The route. A key or token of a user sees what is the user's; any other credential of an app sees the app."""

    def __init__(self, services: BuilderServices) -> None:
        self._services = services

    async def metrics(self, caller: Scraper) -> Response:
        """Return usage of the month, credits and limits in the text format of Prometheus."""
        services = self._services
        sources, app = services.sources, await services.apps.require(caller.app)
        today = await redis_today(sources.client)
        month = month_so_far(today)
        running = await running_holds(sources, app.client_id)
        state = TenantState(
            by_workload=await self._usage(app.client_id, caller.user, month),
            since=datetime.combine(month.first, time(), UTC),
            balance=await prepaid.balance(services.runner, sources.keys, app.client_id, caller.user),
            limits=await read_uses(sources, self._rules(app, caller.user)),
            running=sum(caller.user in (None, each.user) for each in running),
        )
        text = metrics_text(state, services.currency)
        return Response(text, media_type=CONTENT_TYPE, headers={"cache-control": "no-store"})

    async def _usage(self, app: str, user: str | None, month: Days) -> dict[str, UsageTotal]:
        if user is None:
            found = await read_usage(self._services.sources, app, month, (Dimension.WORKLOAD,))
            return {workload: total for (workload,), total in found.rows()}
        by_user = await read_usage(self._services.sources, app, month, (Dimension.USER, Dimension.WORKLOAD))
        return {workload: total for (owner, workload), total in by_user.rows() if owner == user}

    def _rules(self, app: AppRecord, user: str | None) -> list[LimitRule]:
        """Return the limits that count the app, or the user, as a whole; none of a plan that is gone."""
        plan = self._services.plans.get(app.plan)
        if plan is None:
            return []
        keys = self._services.sources.keys
        scope = "app" if user is None else "user"
        found = rules_of(keys, app=app.client_id, user=user, key="each", name=app.plan, plan=plan)
        return [each for each in found if each.kind != "b" and each.policy.partition("-")[0] == scope]
