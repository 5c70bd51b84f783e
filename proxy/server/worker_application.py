"""The composition root of a worker: its public application and the services behind it, opened and closed in order."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from config.routing import Gateway, Stickiness
from config.settings import Settings
from config.workloads import Workload
from middlewares.idempotency.claims import Claims
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.live.byoc_streams import ByocStreams
from middlewares.response.metrics import RequestMetrics
from middlewares.response.refusals.recorder import RefusalRecorder
from middlewares.tenancy.affinity_table import AffinityTable, ResourceKind
from middlewares.tier_routing.drops import DropReasons
from middlewares.tier_routing.fleet import Fleet
from middlewares.usage_tracker.media_probe import MediaTools
from proxy.app import ControlApplications, pipeline, public_application
from proxy.control.drained_gateways import DrainedGateways
from proxy.forwarding.drain_watch import DrainWatch
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.gateway_metrics import GatewayMetrics
from proxy.forwarding.health_prober import HealthProber
from proxy.identity.authentication import Authentication
from proxy.identity.issuer_keys import IssuerKeys
from proxy.identity.key_use_recorder import KeyUseRecorder
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.identity.token_issuer import TokenIssuer, own_issuer
from proxy.media_probe.pool import ProbePool
from proxy.media_probe.spool import SpoolFolder
from proxy.server.ledger_metrics import LedgerObserver
from proxy.store.clients import end
from proxy.store.configured import open_store, redis_keys
from proxy.store.store import Store
from proxy.upstream import ConnectionPool
from proxy.webhooks.live import sessions_of
from proxy.webhooks.stream_keeper import StreamKeeper


@dataclass(frozen=True, slots=True)
class ControlServices:
    """What the control plane of a worker is made from."""

    settings: Settings
    store: Store
    keys: RedisKeys
    authentication: Authentication
    issuer: TokenIssuer
    origin: str
    """Origin under which clients reach the public listener."""
    ledger: Ledger
    fleet: Fleet


class WorkerApplication:
    """One worker's ASGI application, and the ledger that it settles into."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, settings: Settings, *, origin: str, control: Callable[[ControlServices], ControlApplications]
    ) -> AsyncIterator[WorkerApplication]:
        """Connect and start everything; on exit, settle what is left. Raises `StoreError` where Redis is away.

        `origin` is that of the public listener; `control` makes the control plane, which no module here imports.
        """
        issuer_keys = IssuerKeys.open(settings.data_dir, settings.issuer)
        own = own_issuer(origin, issuer_keys)
        observer = LedgerObserver()
        keys = redis_keys(settings)
        failover = FailoverReplay()
        async with await open_store(settings, on_state=observer.node_changed, on_new_server=failover.start) as store:
            ledger = failover.ledger = _ledger(settings, store, keys, observer)
            fleet = Fleet(settings.pools())
            drains = DrainWatch(DrainedGateways(store.redis), fleet)
            authentication = Authentication(
                settings.auth, settings.all_plans(), store=store, redis=store.redis, own=own, listener=drains
            )
            affinity_table = AffinityTable(store, keys, _seconds_kept(settings.routing.stickiness))
            streams = ByocStreams(store, keys, ledger)
            claims = Claims(store, keys, settings.idempotency, settings.store.deadline_seconds)
            gateways = {gateway.url: gateway for pool in settings.pools().values() for gateway in pool.gateways}
            pools = {
                url: _connection_pool(gateway, max_connections=gateway.max_connections)
                for url, gateway in gateways.items()
            }
            hosts = {url: urlsplit(url).netloc.encode() for url in gateways}
            metrics = RequestMetrics()
            spools = SpoolFolder(settings.data_dir / "spool", kept_bytes=settings.media.spool_bytes)
            probe = ProbePool(
                processes=settings.media.processes,
                cpu_seconds=settings.media.cpu_seconds,
                memory_bytes=settings.media.memory_bytes,
            )
            prober = _health_prober(fleet, gateways, hosts)
            drops = DropReasons({workload: settings.named_models(workload) for workload in Workload})
            key_use = KeyUseRecorder(store.redis)
            stages = pipeline(
                Forwarder(pools, hosts, fleet, settings.routing, prober=prober, drops=drops),
                settings,
                credentials=authentication.credentials,
                ledger=ledger,
                claims=claims,
                media=MediaTools(spools, probe),
                sessions=sessions_of(settings.webhooks, store, keys),
                streams=streams,
                affinity_table=affinity_table,
                fleet=fleet,
                used_keys=key_use.used,
            )
            issuer = TokenIssuer(origin, issuer_keys, settings.issuer)
            services = ControlServices(settings, store, keys, authentication, issuer, origin, ledger, fleet)
            refusals = RefusalRecorder(store, keys, ledger.clock, settings.explain)
            app = public_application(stages, settings, metrics, control(services), on_refusal=refusals.note)
            keeper = StreamKeeper(streams, ledger, PrincipalResolver(authentication.resolver), pools, hosts)
            await authentication.start()
            work = ledger.run(), metrics.keep_flushing(), keeper.run(), key_use.run(), refusals.run(), drains.run()
            background = [asyncio.create_task(each) for each in (*work, prober.keep_showing())]
            try:
                yield cls(app, ledger)
            finally:
                await authentication.stop()
                await failover.wait()
                await _cancel(background)
                await prober.close()
                metrics.flush()
                await key_use.flush()
                await refusals.flush()
                await affinity_table.drain()
                await claims.drain()
                await ledger.drain()
                ledger.close()
                await probe.close()
                spools.close()
                for pool in pools.values():
                    pool.close()


class FailoverReplay:
    """Has the ledger replay recent settlements whenever Redis was restarted or failed over.

    The store is opened before the ledger and tells of new servers from then on; there is nothing to replay yet.
    """

    def __init__(self) -> None:
        self._replays: set[asyncio.Task[None]] = set()
        self.ledger: Ledger | None = None

    def start(self) -> None:
        """Start a replay in the background."""
        if self.ledger is not None:
            replay = asyncio.create_task(self.ledger.after_failover())
            self._replays.add(replay)
            replay.add_done_callback(self._replays.discard)

    async def wait(self) -> None:
        """Return once every replay has ended."""
        await asyncio.gather(*self._replays)


def _ledger(settings: Settings, store: Store, keys: RedisKeys, observer: LedgerObserver) -> Ledger:
    return Ledger(
        store,
        keys,
        data_dir=settings.data_dir,
        hold_ttl=settings.hold_ttl,
        deadline=settings.store.deadline_seconds,
        workers=settings.workers,
        journal_bytes=settings.ledger.journal_bytes,
        replay_window=settings.ledger.replay_window_seconds,
        observer=observer,
        commit=settings.ledger.commit,
        fsync=settings.ledger.fsync,
    )


def _seconds_kept(stickiness: Stickiness) -> dict[ResourceKind, float]:
    """Return for how many seconds the gateway of each kind of resource is remembered."""
    return {
        ResourceKind.MANIFEST: stickiness.manifest_seconds,
        ResourceKind.LIVE: stickiness.stream_seconds,
        ResourceKind.BYOC: stickiness.stream_seconds,
        ResourceKind.VIDEO: stickiness.result_seconds,
        ResourceKind.RESULT: stickiness.result_seconds,
    }


def _health_prober(fleet: Fleet, gateways: Mapping[str, Gateway], hosts: Mapping[str, bytes]) -> HealthProber:
    """Return the prober; each probe has a connection of its own, so that busy ones are no obstacle."""
    metrics = GatewayMetrics()
    metrics.start(gateways)
    pools = {url: _connection_pool(gateway, max_connections=1, max_idle=0) for url, gateway in gateways.items()}
    return HealthProber(fleet, pools, hosts, metrics)


def _connection_pool(gateway: Gateway, *, max_connections: int, max_idle: int = 256) -> ConnectionPool:
    parts = urlsplit(gateway.url)
    tls = parts.scheme == "https"
    return ConnectionPool(
        parts.hostname or "",
        parts.port or (443 if tls else 80),
        tls=ssl.create_default_context() if tls else None,
        max_connections=max_connections,
        max_idle=max_idle,
    )


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    await end(tasks)
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
