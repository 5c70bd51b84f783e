"""The archiver's process: moves usage events from Redis to the history, and sends webhooks.

No worker ever waits for either.

Run by the supervisor as `python -m proxy.server.background.archiver`. Its standard input is a lifeline: when it ends,
the supervisor is gone, and the archiver stops as on SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys

import structlog

from config.loader import ConfigError, load
from config.settings import Settings
from middlewares.response.log import configure_logging
from middlewares.store import StoreError
from proxy.history.archive.archiver import Archiver
from proxy.history.engine import BadAddress
from proxy.history.store import History
from proxy.server import metric_files
from proxy.server.background.gateway_health import gateway_health
from proxy.server.background.history_metrics import HistoryMetrics
from proxy.server.background.lifeline import stop_with_supervisor
from proxy.server.background.notification_metrics import NotificationMetrics
from proxy.store.configured import open_store, redis_keys
from proxy.webhooks.notifications.notifier import Notifier

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.history")

NICE = 5
"""Lower priority than that of the workers: a backlog of the archiver costs no request anything."""
RETRY_SECONDS = 2.0
GC_THRESHOLDS = (100_000, 20, 50)
"""Allocations between collections: batches are many small objects, and none of them is part of a cycle."""


def main() -> None:
    """Archive until SIGTERM; exit with code 1 and one clear line where the configuration cannot be used."""
    try:
        settings = load()
    except ConfigError as error:
        sys.exit(f"tollgate: the configuration cannot be used:\n{error}")
    metric_files.own_inherited()
    configure_logging(settings.log.level)
    os.nice(NICE)
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        asyncio.run(_run(settings))
    except BadAddress as error:
        sys.exit(f"tollgate: history_url: {error}")
    os._exit(0)  # a thread may still wait for a frozen database; its transaction ends with its connection


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    stop_with_supervisor(stopping.set)
    history, metrics, notification_metrics = History.of(settings), HistoryMetrics(), NotificationMetrics()
    while not stopping.is_set():
        try:
            async with await open_store(settings) as store:
                keys = redis_keys(settings)
                archiver = Archiver(store.redis, keys, history, settings.history, metrics)
                notifier = Notifier(
                    *(store.redis, keys, history, settings, notification_metrics), health=gateway_health
                )
                await _until((archiver, notifier), stopping)
        except (StoreError, ConfigError) as error:
            log.error("archiver_not_started", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await stopping.wait()


async def _until(both: tuple[Archiver, Notifier], stopping: asyncio.Event) -> None:
    running = [asyncio.create_task(each.run()) for each in both]
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({*running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for each in both:
        each.stop()
    await asyncio.gather(*running)


if __name__ == "__main__":
    main()
