"""What operations work on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from config.settings import Settings
from middlewares.auth.keys import pepper_of
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.operators.operators import Operators
from proxy.control.users import Users
from proxy.history.archive.observer import HistoryObserver, Unobserved
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.store.store import Store


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The running server as seen from the process that serves the operation."""

    reload: Callable[[], Awaitable[None]]
    """Takes a new configuration, as on SIGHUP. Raises `ConfigError` or `StoreError` where it is refused."""
    running_workers: Callable[[], int | None]
    """Number of workers that serve requests; None: not known here."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Settings in force, records, ledger and history."""

    settings: Settings
    store: Store
    keys: RedisKeys
    history: History
    apps: Apps
    api_keys: ApiKeys
    users: Users
    operators: Operators
    server: RunningServer | None = None
    """None: no server serves this operation."""
    observer: Callable[[], HistoryObserver] = Unobserved
    """Makes what an archiver reports to, one for each erasure."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        store: Store,
        keys: RedisKeys,
        history: History,
        *,
        server: RunningServer | None = None,
        observer: Callable[[], HistoryObserver] = Unobserved,
    ) -> Resources:
        """Return the resources over an open store."""
        redis, pepper = store.redis, pepper_of(settings.auth)
        return cls(
            settings=settings,
            store=store,
            keys=keys,
            history=history,
            apps=Apps(redis, pepper),
            api_keys=ApiKeys(redis, pepper),
            users=Users(redis),
            operators=Operators(redis, pepper),
            server=server,
            observer=observer,
        )

    @property
    def sources(self) -> LedgerSources:
        """Return where events and totals are read from."""
        return LedgerSources(self.store.redis, self.keys, self.history)
