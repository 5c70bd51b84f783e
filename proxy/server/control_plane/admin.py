"""The composition root of the admin API: in the supervisor for the private listener, in workers for the public one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import ASGIApp

from config.loader import load
from config.settings import Settings
from middlewares.response.metrics import RequestMetrics
from proxy.api.admin.application import admin_application
from proxy.api.admin.operations.resources import Resources, RunningServer
from proxy.app import private_surface
from proxy.history.store import History
from proxy.server.background.history_metrics import HistoryMetrics
from proxy.server.processes.lifeline import RELOAD, tell_supervisor
from proxy.server.worker_application import ControlServices
from proxy.store.configured import check_fingerprint, redis_keys
from proxy.store.store import Store


def private_admin(
    settings: Settings,
    store: Store,
    metrics: RequestMetrics,
    *,
    reload: Callable[[], Awaitable[None]],
    running_workers: Callable[[], int],
) -> tuple[ASGIApp, Callable[[], Awaitable[None]]]:
    """Return the admin API of the private listener, and what disconnects it from the history."""
    history = History.of(settings)
    server = RunningServer(reload=reload, running_workers=running_workers)
    resources = Resources.of(
        settings, store, redis_keys(settings), history, server=server, observer=HistoryMetrics.apart
    )
    return private_surface(admin_application(resources), settings, metrics), history.close


def public_admin(services: ControlServices, history: History) -> ASGIApp:
    """Return the admin API of the public listener."""
    server = RunningServer(reload=partial(_ask_supervisor, services.store), running_workers=lambda: None)
    found = services.settings, services.store, services.keys, history
    return admin_application(Resources.of(*found, server=server, observer=HistoryMetrics.apart))


async def _ask_supervisor(store: Store) -> None:
    """Check the configuration, and have the supervisor take it."""
    await check_fingerprint(store, load())
    tell_supervisor(RELOAD)
