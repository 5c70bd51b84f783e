"""The archiver's process: moves usage events from Redis to the history, and sends webhooks.

No worker ever waits for either. Beside that it counts the keys that are due to be rotated. Forked by the template. When
its lifeline ends, the supervisor is gone, and the archiver stops as on SIGTERM.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import structlog

from config.loader import ConfigError, load
from config.settings import Settings
from middlewares.response.log import configure_logging
from middlewares.store import StoreError
from proxy.control.key_age_watch import KeyAgeWatch
from proxy.history.archive.archiver import Archiver
from proxy.history.engine import BadAddress
from proxy.history.explain.archiver import ExplainArchiver
from proxy.history.store import History
from proxy.server import metric_files
from proxy.server.background.gateway_health import gateway_health
from proxy.server.background.history_metrics import HistoryMetrics
from proxy.server.background.key_metrics import KeyMetrics
from proxy.server.background.notification_metrics import NotificationMetrics
from proxy.server.processes.lifeline import stop_with_supervisor
from proxy.store.clients import end, wait
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
    history, metrics = History.of(settings), HistoryMetrics()
    key_metrics, notification_metrics = KeyMetrics(), NotificationMetrics()
    while not stopping.is_set():
        try:
            async with await open_store(settings) as store:
                client, keys = store.redis, redis_keys(settings)
                explain = ExplainArchiver(client, keys, history, settings.explain, settings.all_plans())
                archiver = Archiver(client, keys, history, settings.history, metrics, explain=explain)
                notifier = Notifier(client, keys, history, settings, notification_metrics, health=gateway_health)
                ages = KeyAgeWatch(client, settings.auth.rotate_after_days)
                counting = asyncio.create_task(ages.run(key_metrics.due))
                try:
                    await _until((archiver, notifier), stopping)
                finally:
                    await end([counting])
        except (StoreError, ConfigError) as error:
            log.error("archiver_not_started", reason=str(error))
            await wait(stopping, RETRY_SECONDS)


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
