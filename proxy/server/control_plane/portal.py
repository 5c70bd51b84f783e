"""The portal, put together from what the builder API is made from: both read and change the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from middlewares.auth.keys import pepper_of
from middlewares.response.metrics import all_metrics
from proxy.api.admin.operations.resources import Resources
from proxy.api.services import BuilderServices
from proxy.control.developers.sign_in_links import SignInLinks
from proxy.control.operators.operators import Operators
from proxy.control.operators.sessions import OperatorLinks, OperatorSessions
from proxy.identity.wallet_sign_in import sign_in_failure_limit
from proxy.portal.access.operators import OperatorCredentials
from proxy.portal.application import portal_application
from proxy.portal.operator.services import OperatorServices
from proxy.portal.services import PortalServices
from proxy.server.background.history_metrics import HistoryMetrics
from proxy.server.control_plane.developers import developer_credentials
from proxy.server.worker_application import ControlServices

if TYPE_CHECKING:
    from proxy.identity.provider.client import ProviderSignIn


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
            wallet_sign_in=builder.developers.wallet_sign_in,
            provider=_provider(services, builder),
            links=SignInLinks(redis, pepper),
            view_links=builder.view_links,
            operators=OperatorCredentials(Operators(redis, pepper), OperatorSessions(redis, pepper)),
            console=OperatorServices(resources, OperatorLinks(redis, pepper), all_metrics),
            users=builder.users,
            api_keys=builder.api_keys,
            key_use=builder.key_use,
            webhooks=builder.webhooks,
            audit=builder.audit,
            runner=builder.runner,
            sources=builder.sources,
            plans=builder.plans,
        )
    )


def _provider(services: ControlServices, builder: BuilderServices) -> ProviderSignIn | None:
    settings = services.settings
    if settings.portal.oidc.issuer is None:
        return None
    from proxy.identity.provider.client import ProviderSignIn  # noqa: PLC0415 - of the extra `oidc`

    failures = sign_in_failure_limit(settings.auth.failures_per_minute)
    return ProviderSignIn(settings.portal.oidc, services.authentication.fetch, builder.developers.sign_up, failures)
