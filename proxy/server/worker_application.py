"""Everything one worker needs, put together and taken apart again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from config.routing import Gateway, Stickiness
from config.settings import Settings
from middlewares.ledger.ledger import Ledger
from middlewares.live.byoc_streams import Streams
from middlewares.response.metrics import RequestMetrics
from middlewares.tenancy.affinity_table import AffinityTable, ResourceKind
from middlewares.tier_routing.fleet import Fleet
from proxy.app import pipeline
from proxy.forwarding.forwarder import Forwarder
from proxy.identity.authentication import Authentication
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.server.ledger_metrics import LedgerObserver
from proxy.store.configured import open_store, redis_keys
from proxy.upstream import ConnectionPool
from proxy.webhooks.live import sessions_of
from proxy.webhooks.stream_keeper import StreamKeeper


class WorkerApplication:
    """One worker's part of the gate: an ASGI application and what stands behind it."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[WorkerApplication]:
        """Connect everything; on the way out settle what is left. Raises `StoreError` where Redis is not there."""
        observer = LedgerObserver()
        keys = redis_keys(settings)
        hooks = _Hooks()
        async with await open_store(settings, on_state=observer.node_changed, on_new_server=hooks.replaced) as store:
            ledger = Ledger(
                store,
                keys,
                data_dir=settings.data_dir,
                hold_ttl=settings.hold_ttl,
                deadline=settings.store.deadline_seconds,
                workers=settings.workers,
                journal_bytes=settings.ledger.journal_bytes,
                replay_window=settings.ledger.replay_window_seconds,
                observer=observer,
            )
            hooks.ledger = ledger
            authentication = Authentication(settings.auth, settings.all_plans(), store=store, redis=store.redis)
            affinity_table = AffinityTable(store, keys, _lives(settings.routing.stickiness))
            fleet = Fleet(settings.pools())
            gateways = {gateway.url: gateway for pool in settings.pools().values() for gateway in pool.gateways}
            pools = {url: _connections(gateway) for url, gateway in gateways.items()}
            hosts = {url: urlsplit(url).netloc.encode() for url in gateways}
            forwarder = Forwarder(pools, hosts, fleet, settings.routing)
            streams = Streams(store, keys, ledger)
            keeper = StreamKeeper(streams, ledger, PrincipalResolver(authentication.resolver), pools, hosts)
            metrics = RequestMetrics()
            app = pipeline(
                forwarder,
                settings,
                credentials=authentication.credentials,
                ledger=ledger,
                sessions=sessions_of(settings.webhooks, store, keys),
                streams=streams,
                affinity_table=affinity_table,
                fleet=fleet,
                metrics=metrics,
            )
            await authentication.start()
            upkeep = [asyncio.create_task(work) for work in (ledger.run(), metrics.keep_flushing(), keeper.run())]
            try:
                yield cls(app, ledger)
            finally:
                await authentication.stop()
                await hooks.settle()
                await _cancel(upkeep)
                metrics.flush()
                await affinity_table.drain()
                await ledger.drain()
                ledger.close()
                for pool in pools.values():
                    pool.close()


class _Hooks:
    """What the store tells the ledger, which comes into being after it."""

    def __init__(self) -> None:
        self._replays: set[asyncio.Task[None]] = set()
        self.ledger: Ledger | None = None

    def replaced(self) -> None:
        """Redis was restarted or failed over."""
        if self.ledger is not None:
            replay = asyncio.create_task(self.ledger.after_failover())
            self._replays.add(replay)
            replay.add_done_callback(self._replays.discard)

    async def settle(self) -> None:
        await asyncio.gather(*self._replays)


def _lives(stickiness: Stickiness) -> dict[ResourceKind, float]:
    """Seconds for which each kind of placement is kept."""
    return {
        ResourceKind.MANIFEST: stickiness.manifest_seconds,
        ResourceKind.LIVE: stickiness.stream_seconds,
        ResourceKind.BYOC: stickiness.stream_seconds,
        ResourceKind.VIDEO: stickiness.result_seconds,
        ResourceKind.RESULT: stickiness.result_seconds,
    }


def _connections(gateway: Gateway) -> ConnectionPool:
    parts = urlsplit(gateway.url)
    tls = parts.scheme == "https"
    return ConnectionPool(
        parts.hostname or "",
        parts.port or (443 if tls else 80),
        tls=ssl.create_default_context() if tls else None,
        max_connections=gateway.max_connections,
    )


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
