"""The portal, put together from what the builder API is made from: both read and change the same."""

from __future__ import annotations

from starlette.types import ASGIApp

from middlewares.auth.keys import pepper_of
from middlewares.response.metrics import all_metrics
from proxy.api.admin.operations.resources import Resources
from proxy.api.services import BuilderServices
from proxy.control.developers.sign_in_links import SignInLinks
from proxy.control.operators.operators import Operators
from proxy.control.operators.sessions import OperatorLinks, OperatorSessions
from proxy.portal.access.operators import OperatorCredentials
from proxy.portal.application import portal_application
from proxy.portal.operator.services import OperatorServices
from proxy.portal.services import PortalServices
from proxy.server.background.history_metrics import HistoryMetrics
from proxy.server.control_plane.developers import developer_credentials
from proxy.server.worker_application import ControlServices


def portal(services: ControlServices, builder: BuilderServices) -> ASGIApp:
    """Return the application of `/portal`."""
    settings, redis = services.settings, services.store.redis
    pepper = pepper_of(settings.auth)
    found = settings, services.store, services.keys, builder.sources.history
    resources = Resources.of(*found, observer=HistoryMetrics.apart)
    return portal_application(
        PortalServices(
            settings=settings,
            origin=services.origin,
            developers=developer_credentials(services, builder.developers),
            links=SignInLinks(redis, pepper),
            operators=OperatorCredentials(Operators(redis, pepper), OperatorSessions(redis, pepper)),
            console=OperatorServices(resources, OperatorLinks(redis, pepper), all_metrics),
            users=builder.users,
            api_keys=builder.api_keys,
            key_use=builder.key_use,
            audit=builder.audit,
            runner=builder.runner,
            sources=builder.sources,
            plans=builder.plans,
        )
    )
