"""The plans in force, and what a tenant's month would have cost under another one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from config.plans import Billing
from proxy.api.admin.ledger_endpoints import DeploymentEndpoints, ReportEndpoints
from proxy.control.apps import is_client_id
from proxy.control.records import UnknownRecord
from proxy.portal.access.forms import FilterRefused, typed
from proxy.portal.operator.visits import HOME, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages
from proxy.portal.services import PortalServices
from proxy.reporting.dates import BadDate, parse_period, redis_today
from proxy.reporting.house.what_if import fee_of, what_if
from proxy.reporting.totals import Dimension, read_usage

PLANS = f"{HOME}/plans"
PAID = {
    Billing.FREE: "Not at all",
    Billing.SUBSCRIPTION: "By a fee for each user and month",
    Billing.USAGE: "By usage, afterwards",
    Billing.CREDITS: "By credits, in advance",
    Billing.PER_REQUEST: "By request, afterwards",
    Billing.PER_MINUTE: "By the minute, afterwards",
}
"""How people say that a plan is paid."""
_MONTH = re.compile("[0-9]{4}-[0-9]{2}")


class PlanPages:
    """Plans as the configuration in force has them."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes."""
        return (
            visits.page(PLANS, self.show, DeploymentEndpoints.plans),
            visits.page(f"{PLANS}/what-if", self.compare, ReportEndpoints.usage, again=self.show),
        )

    async def show(self, visit: OperatorVisit) -> Response:
        """Show the plans by name."""
        found = (await visit.operations.deployment.plans()).items
        today = await redis_today(self._services.sources.client)
        terms = {each.name: msgspec.json.format(msgspec.json.encode(each.terms), indent=2).decode() for each in found}
        values = typed(visit.mistake, {"app": "", "month": f"{today}"[:7], "plan": ""})
        return self._pages.show("operator/plans.html", visit, plans=found, terms=terms, billing=PAID, values=values)

    async def compare(self, visit: OperatorVisit) -> Response:
        """Show what a month of an app did cost, and what it would have cost under the chosen plan."""
        query, plans = visit.request.query_params, self._services.settings.all_plans()
        client_id, month, name = (query.get(each, "").strip() for each in ("app", "month", "plan"))
        if not is_client_id(client_id):
            raise FilterRefused("app", "Expected the client id of an app.")
        if name not in plans:
            raise FilterRefused("plan", "There is no such plan.")
        try:
            days = parse_period(month if _MONTH.fullmatch(month) else f"{month}-")
        except BadDate:
            raise FilterRefused("month", "Expected a month such as 2026-11.") from None
        try:
            tenant, sources = await visit.operations.apps.get(client_id), self._services.sources
        except UnknownRecord:
            raise FilterRefused("app", "There is no such app.", 404) from None
        usage = await read_usage(sources, client_id, days, (Dimension.WORKLOAD, Dimension.MODEL))
        users = len((await read_usage(sources, client_id, days, (Dimension.USER,))).rows())
        present = plans.get(tenant.plan)
        return self._pages.show(
            "operator/what_if.html",
            visit,
            tenant=tenant,
            month=month,
            name=name,
            usage=usage,
            users=users,
            units=usage.total.units_used,
            fee=fee_of(present, users) if present else 0,
            found=what_if(plans[name], usage, users),
        )
