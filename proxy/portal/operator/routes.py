"""All routes of operators."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from proxy.portal.access.cookies import SessionCookie
from proxy.portal.operator.attention import AttentionPages
from proxy.portal.operator.audit import AuditPages
from proxy.portal.operator.gateways import GatewayPages
from proxy.portal.operator.impersonation import Impersonation
from proxy.portal.operator.plans import PlanPages
from proxy.portal.operator.refusals import RefusalPages
from proxy.portal.operator.sign_in import OperatorSignInPages
from proxy.portal.operator.streams import StreamPages
from proxy.portal.operator.tenants import TenantPages
from proxy.portal.operator.today import TodayPage
from proxy.portal.operator.visits import OperatorVisits
from proxy.portal.pages import Pages
from proxy.portal.services import PortalServices


def operator_routes(
    services: PortalServices, pages: Pages, cookie: SessionCookie, visits: OperatorVisits
) -> Sequence[Route]:
    """Return the routes below `/portal/operator`."""
    return (
        *OperatorSignInPages(services, pages, cookie).routes(visits),
        *TodayPage(services, pages).routes(visits),
        *TenantPages(services, pages).routes(visits),
        *Impersonation(services).routes(visits),
        *PlanPages(services, pages).routes(visits),
        *GatewayPages(services, pages).routes(visits),
        *StreamPages(services, pages).routes(visits),
        *AttentionPages(services, pages).routes(visits),
        *RefusalPages(services, pages).routes(visits),
        *AuditPages(services, pages).routes(visits),
    )
