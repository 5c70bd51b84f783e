"""The gateways: pools, health, what is in flight, how they fail, and which get no new work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Refusal
from proxy.api.admin.gateway_documents import GatewayDocument
from proxy.api.admin.gateway_endpoints import GatewayEndpoints
from proxy.portal.operator.metric_view import MetricView
from proxy.portal.operator.visits import HOME, OperatorForm, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices

GATEWAYS = f"{HOME}/gateways"


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One gateway of the page."""

    document: GatewayDocument
    up: bool | None
    """False: a worker has ejected it. None: no worker shows it yet."""
    in_flight: int = 0
    errors: list[tuple[str, int]] = field(default_factory=list)
    """Codes of failures, each with how many attempts there were, the most first."""


class GatewayPages:
    """Health, requests and failures are those of the metrics of all workers; what is drained stands in Redis."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes."""
        drain, resume = GatewayEndpoints.drain, GatewayEndpoints.resume
        return (
            visits.page(GATEWAYS, self.show, GatewayEndpoints.list),
            visits.form(f"{GATEWAYS}/drain", self.drain, drain, action="gateway.drain", kind="gateway"),
            visits.form(f"{GATEWAYS}/resume", self.resume, resume, action="gateway.resume", kind="gateway"),
        )

    async def show(self, visit: OperatorVisit) -> Response:
        """Show all gateways."""
        metrics = await MetricView.read(self._services.console.metrics)
        up = dict(metrics.values_by("tollgate_gateway_up", "gateway"))
        in_flight = dict(metrics.values_by("tollgate_gateway_requests_in_flight", "gateway"))
        errors = metrics.by("tollgate_gateway_errors_total", "gateway", "code")
        rows = [
            GatewayRow(
                document=each,
                up=bool(up[each.gateway]) if each.gateway in up else None,
                in_flight=int(in_flight.get(each.gateway, 0)),
                errors=[(code, number) for (gateway, code), number in errors.items() if gateway == each.gateway],
            )
            for each in (await visit.operations.gateways.list()).items
        ]
        return self._pages.show(
            "operator/gateways.html",
            visit,
            rows=rows,
            all_drained=bool(rows) and all(each.document.drained for each in rows),
            may_drain=visit.may(GatewayEndpoints.drain),
        )

    async def drain(self, form: OperatorForm) -> Response:
        """Give a gateway no new work."""
        await form.visit.operations.gateways.drain(_origin(form))
        return see_other(GATEWAYS)

    async def resume(self, form: OperatorForm) -> Response:
        """Give a gateway new work again."""
        await form.visit.operations.gateways.resume(_origin(form))
        return see_other(GATEWAYS)


def _origin(form: OperatorForm) -> str:
    """Return the origin that a form names. Raises `Refusal` (400) for what is none."""
    text = form.fields.get("gateway", "")
    if not text.startswith(("http://", "https://")):
        raise Refusal(400, "invalid_parameter", "Gateway: expected its origin, as in the configuration.")
    return text
