"""The first page of an app, and the list of apps before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from starlette.responses import Response
from starlette.routing import Route

from config.plans import Billing
from middlewares.ledger.credit import prepaid
from proxy.portal.access.visits import Visit, Visits
from proxy.portal.charts import columns
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices
from proxy.portal.tenant.limits import read_limits, running_requests
from proxy.reporting.dates import month_so_far, redis_today
from proxy.reporting.forecast import forecast, needed_days
from proxy.reporting.totals import Dimension, UsageTotal, read_usage

APP = "/portal/apps/{client_id}"
_SHOWN = 20
"""Most running requests that are listed; all are counted."""


class OverviewPages:
    """What an app has, uses and runs."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the routes."""
        return (
            visits.page("/portal", self.apps),
            visits.page(APP, self.overview),
            visits.page(f"{APP}/now", self.now, by_itself=True),
        )

    async def apps(self, visit: Visit) -> Response:
        """Show the apps of which the person is a member; whoever has one is there at once."""
        found = self._services.developers
        members = await found.memberships.of_developer(visit.developer.developer_id)
        roles = {each.app: each.role for each in members}
        apps = await found.apps.several(roles)
        if len(apps) == 1 and apps[0].status == "active":
            return see_other(f"/portal/apps/{apps[0].client_id}")
        return self._pages.show("apps.html", visit, apps=apps, roles=roles)

    async def overview(self, visit: Visit) -> Response:
        """Show balance, spend of the month, limits, and what runs now."""
        return await self._show(visit, "overview.html")

    async def now(self, visit: Visit) -> Response:
        """Show the same without what is around it, for a page that renews itself."""
        return await self._show(visit, "overview_now.html")

    async def _show(self, visit: Visit, template: str) -> Response:
        assert visit.app is not None  # noqa: S101 - the path names it
        services, app = self._services, visit.app
        sources, plan = services.sources, services.plans.get(app.plan)
        today = await redis_today(sources.client)
        month = month_so_far(today)
        recent = await read_usage(sources, app.client_id, needed_days(today), (Dimension.DAY,))
        running = await running_requests(sources, app.client_id)
        balance = await prepaid.balance(services.runner, sources.keys, app.client_id, None)
        by_day = {date.fromisoformat(day): total for (day,), total in recent.rows()}
        used = UsageTotal()
        for day in month.each():
            used.include(by_day.get(day, UsageTotal()))
        amounts = {day: total.amount for day, total in by_day.items()}
        return self._pages.show(
            template,
            visit,
            plan_name=app.plan,
            plan_known=plan is not None,
            prepaid=plan is not None and plan.billing is Billing.CREDITS,
            balance=balance,
            with_shares=services.settings.ledger.commit == "group",
            month=month,
            used=used,
            forecast=forecast(amounts, today, app.created_at.date()),
            columns=columns([(f"{day}", amounts.get(day, 0)) for day in month.each()]),
            limits=await read_limits(sources, app, plan, services.settings.currency) if plan else [],
            running=running[:_SHOWN],
            running_count=len(running),
        )
