"""What the portal is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.plans import Plan
from config.settings import Settings
from middlewares.store import ScriptRunner
from proxy.control.api_keys import ApiKeys
from proxy.control.audit.log import AuditLog
from proxy.control.developers.sign_in_links import SignInLinks
from proxy.control.developers.view_links import ViewLinks
from proxy.control.key_use import KeyUse
from proxy.control.users import Users
from proxy.history.reader import LedgerSources
from proxy.identity.developer_credentials import DeveloperCredentials
from proxy.identity.wallet_sign_in import WalletSignIn
from proxy.portal.access.operators import OperatorCredentials
from proxy.portal.operator.services import OperatorServices
from proxy.webhooks.notifications.service import WebhookService

if TYPE_CHECKING:
    from proxy.identity.provider.client import ProviderSignIn


@dataclass(frozen=True, slots=True)
class PortalServices:
    """Services without HTTP; the pages only show what they return."""

    settings: Settings
    origin: str
    """Origin under which browsers reach the portal; forms of other origins are refused."""
    developers: DeveloperCredentials
    """Who is signed in, and with which scopes in which app: the rules of the API."""
    wallet_sign_in: WalletSignIn
    provider: ProviderSignIn | None
    """None: none is configured."""
    links: SignInLinks
    view_links: ViewLinks
    operators: OperatorCredentials
    """Which operator is signed in."""
    console: OperatorServices
    """What the pages of operators show and do."""
    users: Users
    api_keys: ApiKeys
    key_use: KeyUse
    webhooks: WebhookService
    audit: AuditLog
    runner: ScriptRunner
    sources: LedgerSources
    plans: Mapping[str, Plan]
    """Those in force."""
