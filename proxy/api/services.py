"""What the builder API is made from."""

from __future__ import annotations

from dataclasses import dataclass

from config.runtime import Currency
from middlewares.store import ScriptRunner
from proxy.api.caller import Callers
from proxy.api.catalog.offer import Offer
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.users import Users
from proxy.history.reader import LedgerSources
from proxy.identity.token_issuer import TokenIssuer


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
    offer: Offer
    catalog_public: bool
