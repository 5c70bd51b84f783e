"""Puts authentication together: records, key sets of issuers, cache, notices of changes."""

from collections.abc import Mapping

from config.access import Auth
from config.issuers import Issuer
from config.plans import Plan
from middlewares.auth.cache import CachedCredentials
from middlewares.auth.jwks import KeySets
from middlewares.auth.jwt import TokenVerifier
from middlewares.auth.keys import pepper_of
from middlewares.auth.records import RecordRef
from middlewares.auth.resolver import CredentialResolver
from middlewares.store import ScriptRunner
from proxy.control.records import Client
from proxy.identity.app_issuers import AppIssuers
from proxy.identity.change_watcher import ChangeListener, ChangeWatcher
from proxy.identity.key_set_fetcher import HttpFetch
from proxy.identity.record_directory import RecordDirectory
from proxy.identity.token_issuer import issuer_for_developers


class Authentication:
    """Authentication between `start` and `stop`.

    `credentials` are for the auth stage, `resolver` is the same without a cache; `app_issuers` verifies what apps
    exchange.
    """

    def __init__(
        self,
        settings: Auth,
        plans: Mapping[str, Plan],
        *,
        store: ScriptRunner,
        redis: Client,
        own: Issuer | None = None,
        listener: ChangeListener | None = None,
    ) -> None:
        """`own` is Tollgate's own issuer; None: it issues no tokens. `listener` is told of changes, too."""
        self.fetch = HttpFetch(settings.key_set_networks)
        """Connections to issuers, for whatever else is asked of one."""
        self._key_sets = KeySets((*settings.issuers, own) if own else settings.issuers, self.fetch)
        self.app_issuers = AppIssuers(self.fetch)
        self.resolver = resolver = CredentialResolver(
            RecordDirectory(store),
            plans,
            TokenVerifier(settings.issuers, self._key_sets, own),
            pepper=pepper_of(settings),
        )
        for_developers = (issuer_for_developers(own),) if own else ()  # the same keys: only its audience differs
        self.developer_tokens = TokenVerifier(for_developers, self._key_sets)
        """Verifies tokens of developers, which the auth stage does not take."""
        self.credentials = CachedCredentials(
            resolver,
            seconds=settings.cache_seconds,
            entries=settings.cache_entries,
            grace=settings.grace_seconds,
        )
        self._listener = listener
        self._watcher = ChangeWatcher(redis, changed=self._changed, missed=self._missed)

    async def start(self) -> None:
        """Load the issuers' keys (a few seconds at most) and begin to listen for changes, in the background."""
        await self._key_sets.start()
        await self._watcher.start()

    def _changed(self, ref: RecordRef) -> None:
        self.credentials.invalidate(ref)
        if self._listener is not None:
            self._listener.changed(ref)

    def _missed(self) -> None:
        self.credentials.invalidate_all()
        if self._listener is not None:
            self._listener.missed()

    async def stop(self) -> None:
        await self._watcher.stop()
        await self._key_sets.stop()
        await self.app_issuers.stop()
        await self.fetch.close()
