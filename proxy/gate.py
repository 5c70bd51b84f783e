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
from middlewares.ledger.keys import Keys
from middlewares.ledger.ledger import Ledger
from middlewares.response.metrics import RequestMetrics
from middlewares.tenancy.placements import Kind, Placements
from middlewares.tier_routing.fleet import Fleet
from middlewares.usage_tracker.streams import Streams
from proxy.app import pipeline
from proxy.control.authentication import Authentication
from proxy.forwarder import Forwarder
from proxy.observer import LedgerObserver
from proxy.store.address import Address, Topology
from proxy.store.store import Store
from proxy.streams import StreamKeeper
from proxy.upstream import Pool
from proxy.webhooks.bearers import Bearers
from proxy.webhooks.live import sessions_of


class Gate:
    """One worker's part of the gate: an ASGI application and what stands behind it."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Gate]:
        """Connect everything; on the way out settle what is left. Raises `StoreError` where Redis is not there."""
        observer = LedgerObserver()
        hooks = _Hooks(observer)
        async with await open_store(settings, hooks) as store:
            ledger = Ledger(
                store,
                keys_of(settings),
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
            placements = Placements(store, keys_of(settings), _lives(settings.routing.stickiness))
            fleet = Fleet(settings.pools())
            gateways = {gateway.url: gateway for pool in settings.pools().values() for gateway in pool.gateways}
            pools = {url: _connections(gateway) for url, gateway in gateways.items()}
            hosts = {url: urlsplit(url).netloc.encode() for url in gateways}
            forwarder = Forwarder(pools, hosts, fleet, settings.routing)
            streams = Streams(store, keys_of(settings), ledger)
            keeper = StreamKeeper(streams, ledger, Bearers(authentication.resolver), pools, hosts)
            metrics = RequestMetrics()
            app = pipeline(
                forwarder,
                settings,
                credentials=authentication.credentials,
                ledger=ledger,
                sessions=sessions_of(settings.webhooks, store, keys_of(settings)),
                streams=streams,
                placements=placements,
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
                await placements.drain()
                await ledger.drain()
                ledger.close()
                for pool in pools.values():
                    pool.close()


class _Hooks:
    """What the store tells the ledger, which comes into being after it."""

    def __init__(self, observer: LedgerObserver) -> None:
        self.observer = observer
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


async def open_store(settings: Settings, hooks: _Hooks | None = None) -> Store:
    """The store of these settings. Raises `StoreError`."""
    url = settings.redis_url
    return await Store.open(
        url.get_secret_value() if url else None,
        settings.data_dir,
        deadline=settings.store.deadline_seconds,
        control_timeout=settings.store.control_timeout_seconds,
        on_state=hooks.observer.node_changed if hooks else lambda _: None,
        on_new_server=hooks.replaced if hooks else lambda: None,
    )


def keys_of(settings: Settings) -> Keys:
    """The key names of these settings."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    cluster = url is not None and Address.parse(url).topology is Topology.CLUSTER
    return Keys(settings.store.hash_tags, cluster=cluster)


def _lives(stickiness: Stickiness) -> dict[Kind, float]:
    """Seconds for which each kind of placement is kept."""
    return {
        Kind.MANIFEST: stickiness.manifest_seconds,
        Kind.LIVE: stickiness.stream_seconds,
        Kind.BYOC: stickiness.stream_seconds,
        Kind.VIDEO: stickiness.result_seconds,
        Kind.RESULT: stickiness.result_seconds,
    }


def _connections(gateway: Gateway) -> Pool:
    parts = urlsplit(gateway.url)
    tls = parts.scheme == "https"
    return Pool(
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
