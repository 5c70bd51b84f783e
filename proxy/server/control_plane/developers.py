"""The part of the control plane that developers sign in to, put together."""

from __future__ import annotations

from middlewares.auth.keys import pepper_of
from proxy.api.services import DeveloperServices
from proxy.control.apps import Apps
from proxy.control.audit.log import AuditLog
from proxy.control.developers.developers import Developers
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.nonces import Nonces
from proxy.control.developers.sessions import DeveloperSessions
from proxy.identity.developer_credentials import DeveloperCredentials
from proxy.identity.sign_up import SignUp
from proxy.identity.wallet_sign_in import WalletSignIn, sign_in_failure_limit, terms_of
from proxy.server.worker_application import ControlServices


def developer_services(services: ControlServices, apps: Apps, audit: AuditLog) -> DeveloperServices:
    """Return the services of developers."""
    settings, redis = services.settings, services.store.redis
    pepper = pepper_of(settings.auth)
    developers, memberships, sessions = Developers(redis), Memberships(redis), DeveloperSessions(redis, pepper)
    sign_up = SignUp(settings.sign_up, developers, memberships, Invites(redis, pepper), apps, audit)
    wallet_sign_in = WalletSignIn(
        settings.sign_in,
        terms_of(settings.sign_in, services.origin),
        nonces=Nonces(
            redis,
            seconds=settings.sign_in.nonce_seconds,
            most=settings.sign_in.nonces,
            most_per_client=settings.sign_in.nonces_per_address,
        ),
        sign_up=sign_up,
        sessions=sessions,
        issuer=services.issuer,
        failures=sign_in_failure_limit(settings.auth.failures_per_minute),
    )
    return DeveloperServices(wallet_sign_in, sign_up, developers, memberships, sessions, apps)


def developer_credentials(services: ControlServices, found: DeveloperServices) -> DeveloperCredentials:
    """Return what finds developers by their credentials."""
    tokens = services.authentication.developer_tokens
    return DeveloperCredentials(tokens, found.sessions, found.developers, found.memberships, found.apps)
