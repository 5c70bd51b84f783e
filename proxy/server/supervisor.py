"""The parent process: owns the listeners and the store, keeps the workers running, serves the private listener."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import structlog
from starlette.types import ASGIApp

from config.access import Edge
from config.issuers import Issuer
from config.loader import ConfigError, load
from config.settings import Settings
from middlewares.response.metrics import RequestMetrics, exposition
from middlewares.store import StoreError
from proxy.control.payments.extra import payment_problems
from proxy.identity.issuer_keys import IssuerKeys
from proxy.identity.provider.extra import provider_problems
from proxy.identity.siwe.extra import wallet_problems
from proxy.identity.token_issuer import own_issuer
from proxy.server.control_plane.private_admin import PrivateAdmin
from proxy.server.http import Server, bind, server, url_of
from proxy.server.ledger_maintenance import LedgerMaintenance
from proxy.server.private_app import PrivateListener, admin_app
from proxy.server.processes.children import Template
from proxy.server.processes.side_process import SideProcess
from proxy.server.processes.workers import Workers
from proxy.server.protocol import protocol_class
from proxy.store.configured import check_fingerprint, claim_fingerprint, redis_keys
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.service import Webhooks

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.supervisor")

STOP_MARGIN_SECONDS = 10.0
"""Time a worker may take beyond the drain's grace to settle and disconnect."""

ARCHIVER_STOP_SECONDS = 10.0
"""Time the archiver may take to end its batch; one that is cut off begins it again."""


class CannotListen(Exception):
    """The address of a listener is taken, or not one of this machine."""


class Supervisor:
    """Runs Tollgate from its start to the end of its drain."""

    def __init__(self, settings: Settings, template: Template) -> None:
        self._settings = self._in_force = settings
        self._template = template
        self._draining = False
        self._stop = asyncio.Event()

    async def run(self, on_ready: Callable[[str], Awaitable[None]]) -> None:
        """Serve until SIGTERM or SIGINT. `on_ready` is called with the public origin once requests are taken.

        Raises `CannotListen`, `WorkerFailed`, `StoreError` or `ConfigError` where Tollgate cannot start.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            self._public = public = stack.enter_context(_bind(settings.listen, "listen"))
            private = stack.enter_context(_bind(settings.admin_listen, "admin_listen"))
            self._maintenance = await stack.enter_async_context(LedgerMaintenance.open(settings))
            store = self._maintenance.store
            await claim_fingerprint(store, settings)
            self._webhooks = Webhooks(store, store.redis, redis_keys(settings), LiveMetrics())
            stack.push_async_callback(self._webhooks.close)
            await self._webhooks.configure(settings, self._issuer(settings))
            self._template.watch()
            self._archiver = SideProcess(self._template, "archiver", ARCHIVER_STOP_SECONDS)
            stack.push_async_callback(self._archiver.stop)
            self._workers = Workers(
                self._template,
                public,
                settings.workers,
                stop_seconds=settings.drain.grace_seconds + STOP_MARGIN_SECONDS,
                on_reload=self._reload,
            )
            await self._workers.start()
            self._archiver.start()
            self._metrics = RequestMetrics()
            stack.callback(asyncio.create_task(self._metrics.keep_flushing()).cancel)
            private_app = admin_app(exposition, self._readiness, self._webhooks.routes())
            self._listener = PrivateListener(private_app, self._admin())
            stack.push_async_callback(self._listener.close)
            admin = private_server(self._listener, settings.edge)
            serving = asyncio.create_task(admin.serve([private]))
            self._handle_signals()
            log.info("ready", public=url_of(public), private=url_of(private), workers=settings.workers)
            await on_ready(url_of(public))
            await self._stop.wait()
            await self._drain()
            admin.should_exit = True
            await serving

    def stop(self) -> None:
        """Begin to drain."""
        self._draining = True
        self._stop.set()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        """Handle SIGHUP."""
        self._reloading = asyncio.create_task(self._reload_checked())

    async def _reload_checked(self) -> None:
        """Take the new configuration, or log why it is refused."""
        with suppress(ConfigError, StoreError):
            await self._take_configuration()

    async def _take_configuration(self) -> None:
        """Replace the workers one by one, if the new configuration is valid and fits the data in Redis.

        Raises `ConfigError` or `StoreError` if it is not; everything stays as it was then.
        """
        try:
            settings = load()
            if problems := [*wallet_problems(settings), *provider_problems(settings), *payment_problems(settings)]:
                raise ConfigError(problems)
            await check_fingerprint(self._maintenance.store, settings)
            issuer = self._issuer(settings)
        except (ConfigError, StoreError) as error:
            reasons = error.problems if isinstance(error, ConfigError) else [error]
            log.error("reload_refused", problems=[str(reason) for reason in reasons])
            raise
        self._in_force = settings
        self._workers.restart()
        self._archiver.restart()
        before, self._listener.admin = self._listener.admin, self._admin()
        await before.close()
        await self._webhooks.configure(settings, issuer)

    def _admin(self) -> PrivateAdmin:
        """Return the admin API under the settings in force."""
        return PrivateAdmin(
            self._in_force,
            self._maintenance.store,
            self._metrics,
            reload=self._take_configuration,
            running_workers=lambda: self._workers.running,
        )

    def _issuer(self, settings: Settings) -> Issuer:
        """Return Tollgate's own issuer; its keys are made before a worker looks for them. Raises `ConfigError`."""
        keys = IssuerKeys.open(settings.data_dir, settings.issuer)
        return own_issuer(settings.public_url or url_of(self._public), keys)

    async def _drain(self) -> None:
        log.info("draining")
        await asyncio.sleep(self._settings.drain.delay_seconds)
        self._public.close()  # or the kernel would still accept connections that no worker serves
        await self._workers.stop()
        await self._archiver.stop()
        log.info("stopped")

    async def _readiness(self) -> str:
        """Return why Tollgate is not ready; empty when it is."""
        if self._draining:
            return "draining"
        if self._workers.running < 1:
            return "no worker is running"
        try:
            await self._maintenance.store.health()
        except StoreError as error:
            return f"Redis is not available: {error}"
        return ""


def private_server(app: ASGIApp, edge: Edge) -> Server:
    """Return the server of the private listener; the heads of its requests have the bounds of the public one."""
    return server(app, protocol_class(edge), grace_seconds=1)


def _bind(address: str, setting: str) -> socket.socket:
    try:
        return bind(address)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address} ({error.strerror}); choose another `{setting}`") from None
