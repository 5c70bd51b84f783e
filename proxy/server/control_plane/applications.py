"""The composition root of the control plane of a worker; with `admin` beside it, what loads FastAPI here."""

from __future__ import annotations

from starlette.types import ASGIApp

from middlewares.auth.keys import pepper_of
from middlewares.auth.middleware import failure_limit
from proxy.api.application import control_application
from proxy.api.builder import builder_application
from proxy.api.caller import Callers
from proxy.api.catalog.data_schema import data_schema_route
from proxy.api.catalog.llms import llms_route
from proxy.api.catalog.offer import Offer
from proxy.api.forward_auth.verify import VerifyApplication
from proxy.api.services import BuilderServices
from proxy.app import ControlApplications
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.audit.log import AuditLog
from proxy.control.developers.view_links import ViewLinks
from proxy.control.key_use import KeyUse
from proxy.control.revoked_tokens import RevokedTokens
from proxy.control.used_tokens import UsedTokens
from proxy.control.users import Users
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.identity.client_authentication import ClientAuthentication
from proxy.oidc.endpoints import OidcEndpoints
from proxy.oidc.grants import Grants
from proxy.server.control_plane.developers import developer_credentials, developer_services
from proxy.server.control_plane.payments import checkout_services, payment_webhooks
from proxy.server.control_plane.portal import portal
from proxy.server.worker_application import ControlServices
from proxy.webhooks.notifications.service import WebhookService


def control_plane(services: ControlServices) -> ControlApplications:
    """Return the applications of the control plane."""
    settings, redis = services.settings, services.store.redis
    pepper = pepper_of(settings.auth)
    apps, users, api_keys = Apps(redis, pepper), Users(redis), ApiKeys(redis, pepper)
    audit = AuditLog(redis)
    credentials = services.authentication.credentials
    clients = ClientAuthentication(apps, settings.auth.failures_per_minute)
    oidc = OidcEndpoints(
        issuer=services.issuer,
        grants=Grants(
            issuer=services.issuer,
            credentials=credentials,
            users=users,
            app_issuers=services.authentication.app_issuers,
            used_tokens=UsedTokens(redis),
            audit=audit,
        ),
        clients=clients,
        credentials=credentials,
        revoked=RevokedTokens(redis),
        audit=audit,
    )
    history = History.of(settings)
    developers = developer_services(services, apps, audit)
    offer = Offer(settings, services.fleet)
    builder = BuilderServices(
        callers=Callers(credentials, clients, developer_credentials(services, developers)),
        apps=apps,
        users=users,
        api_keys=api_keys,
        issuer=services.issuer,
        runner=services.store,
        sources=LedgerSources(redis, services.keys, history),
        currency=settings.currency,
        audit=audit,
        key_use=KeyUse(redis),
        rotate_after_days=settings.auth.rotate_after_days,
        developers=developers,
        plans=settings.all_plans(),
        offer=offer,
        catalog_public=offer.public,
        checkout=checkout_services(services),
        webhooks=WebhookService(settings, redis, history),
        view_links=ViewLinks(redis, pepper),
        origin=services.origin,
    )
    payments = payment_webhooks(services, apps, audit)
    return ControlApplications(
        api=builder_application(builder, (*oidc.app_routes(), data_schema_route(), *payments.routes())),
        oidc=control_application(oidc.routes()),
        well_known=control_application(oidc.well_known_routes()),
        admin=_admin(services, history),
        llms=control_application((llms_route(offer),)),
        verify=VerifyApplication(credentials, services.ledger, failure_limit(settings.auth.failures_per_minute)),
        portal=portal(services, builder),
    )


def _admin(services: ControlServices, history: History) -> ASGIApp:
    """Return the admin API of the public listener, where it is configured; else what serves nothing."""
    if not services.settings.control.admin_on_public_listener:
        return control_application(())
    from proxy.server.control_plane.admin import public_admin  # noqa: PLC0415 - takes time that few need to spend

    return public_admin(services, history)
