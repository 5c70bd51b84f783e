"""The first page of operators: how the house does today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from middlewares.ledger.settlement.network_units import network_unit
from proxy.api.admin.ledger_endpoints import DeploymentEndpoints
from proxy.portal.operator.metric_view import MetricView
from proxy.portal.operator.visits import HOME, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages
from proxy.portal.services import PortalServices
from proxy.reporting.dates import redis_today
from proxy.reporting.house.usage import read_house
from proxy.reporting.totals import UsageTotal

_SHOWN = 10
"""Most tenants that are listed; all are counted."""


@dataclass(frozen=True, slots=True)
class TenantToday:
    """What one app has used today."""

    client_id: str
    name: str
    total: UsageTotal


class TodayPage:
    """Money and units are the ledger's, of this day in UTC; the rest is what the processes of this run have counted."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the route."""
        return (visits.page(HOME, self.show, DeploymentEndpoints.status),)

    async def show(self, visit: OperatorVisit) -> Response:
        """Show the day so far."""
        services = self._services
        today = await redis_today(services.sources.client)
        usage = await read_house(services.sources, today)
        most = sorted(usage.by_app.items(), key=lambda row: (-row[1].amount, -row[1].requests, row[0]))[:_SHOWN]
        names = await services.developers.apps.names(app for app, _ in most)
        metrics = await MetricView.read(services.console.metrics)
        return self._pages.show(
            "operator/today.html",
            visit,
            today=today,
            usage=usage,
            units=usage.total.units_used,
            workloads=sorted(usage.by_workload.items(), key=lambda row: (-row[1].amount, row[0])),
            tenants=[TenantToday(app, names.get(app, ""), total) for app, total in most],
            state=await visit.operations.deployment.status(),
            metrics=metrics,
            network=[
                (workload, number, network_unit(workload))
                for (workload,), number in metrics.by("tollgate_network_units_total", "workload").items()
            ],
            refusals=metrics.by("tollgate_refusals_total", "code"),
            limits=metrics.by("tollgate_limit_refusals_total", "code", "policy"),
            errors=metrics.by("tollgate_gateway_errors_total", "gateway", "code"),
            memory=round(1_000 * metrics.value("tollgate_redis_memory_ratio")) / 10,
        )
