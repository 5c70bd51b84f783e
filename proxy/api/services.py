"""What the builder API is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.plans import Plan
from config.runtime import Currency
from middlewares.store import ScriptRunner
from proxy.api.caller import Callers
from proxy.api.catalog.offer import Offer
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.audit.log import AuditLog
from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.sessions import DeveloperSessions
from proxy.control.developers.view_links import ViewLinks
from proxy.control.key_use import KeyUse
from proxy.control.payments.checkout import CheckoutServices
from proxy.control.users import Users
from proxy.history.reader import LedgerSources
from proxy.identity.sign_up import SignUp
from proxy.identity.token_issuer import TokenIssuer
from proxy.identity.wallet_sign_in import WalletSignIn
from proxy.webhooks.notifications.service import WebhookService


@dataclass(frozen=True, slots=True)
class DeveloperServices:
    """Services of developers, who sign in."""

    wallet_sign_in: WalletSignIn
    sign_up: SignUp
    developers: Developers
    memberships: Memberships
    sessions: DeveloperSessions
    apps: Apps


@dataclass(frozen=True, slots=True)
class BuilderServices:
    """Services without HTTP; the endpoints only translate."""

    callers: Callers
    apps: Apps
    users: Users
    api_keys: ApiKeys
    issuer: TokenIssuer
    runner: ScriptRunner
    sources: LedgerSources
    currency: Currency
    audit: AuditLog
    key_use: KeyUse
    rotate_after_days: int
    """Age at which listings of keys remind of a rotation; 0: never."""
    developers: DeveloperServices
    plans: Mapping[str, Plan]
    """Those in force, whose fees statements name."""
    offer: Offer
    catalog_public: bool
    checkout: CheckoutServices
    webhooks: WebhookService
    view_links: ViewLinks
    origin: str
    """Origin under which browsers reach the portal."""
