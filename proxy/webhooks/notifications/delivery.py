"""Delivers what is in the outbox: in order for each endpoint, again with longer and longer pauses, for a day."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import structlog

from proxy.control.webhook_endpoints import WebhookEndpoint
from proxy.history.store import History, HistoryUnavailable
from proxy.store.clients import CLIENT_ERRORS
from proxy.webhooks.notifications import outbox
from proxy.webhooks.notifications.attempts import Delivery, DeliveryState, SendOutcome
from proxy.webhooks.notifications.observer import NotificationObserver

PAUSES_MS = tuple(seconds * 1_000 for seconds in (5, 30, 120, 300, 900, 1_800, 3_600))
"""Time after the first failed attempt, the second and so on; the last one counts for all later ones."""
DAY_MS = 86_400_000
"""Time from the first attempt after which a webhook has failed for good."""
JITTER = 0.1
"""Share by which a pause is longer at random, so that a receiver that is back is not asked by all at once."""
PARALLEL = 32
"""Endpoints that are delivered to at once."""
AT_A_TIME = 100
"""Webhooks to one endpoint after which its record is read again, as its secrets may have changed."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.webhooks")

GONE = 410
"""Status by which a receiver says that it wants no webhook any more; its endpoint is paused then."""

Send = Callable[[WebhookEndpoint, str, str], Awaitable[SendOutcome]]


def settled(delivery: Delivery, outcome: SendOutcome, now: int, jitter: float = 0.0) -> Delivery:
    """Return a delivery after an attempt that ended at `now`, Unix milliseconds. Pure.

    `jitter` is the share by which the next pause is longer.
    """
    attempts = delivery.attempts + 1
    tried = replace(delivery, attempts=attempts, tried=now, status=outcome.status, error=outcome.error)
    if not outcome.error:
        return replace(tried, state=DeliveryState.DELIVERED)
    if now - delivery.since >= DAY_MS or outcome.status == GONE:
        return replace(tried, state=DeliveryState.FAILED)
    pause = PAUSES_MS[min(attempts, len(PAUSES_MS)) - 1] * (1 + jitter)
    return replace(tried, due=min(now + round(pause), max(delivery.since + DAY_MS, now)))


class WebhookDelivery:
    """Sends what is due. One process at a time does it; another one that began meanwhile sends under the same ids."""

    def __init__(
        self,
        history: History,
        send: Send,
        clock: Callable[[], Awaitable[int]],
        observer: NotificationObserver,
        gone: Callable[[WebhookEndpoint], Awaitable[None]],
    ) -> None:
        """`clock` returns the time that pauses and the day of attempts are counted in, Unix milliseconds.

        `gone` is called for an endpoint that wants no webhook any more.
        """
        self._history = history
        self._send = send
        self._clock = clock
        self._observer = observer
        self._gone = gone
        self._slots = asyncio.Semaphore(PARALLEL)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def advance(self, endpoints: Mapping[str, WebhookEndpoint]) -> None:
        """Begin to deliver to each endpoint whose next webhook is due. Raises `HistoryUnavailable`."""
        for head in await self._history.read(outbox.heads, await self._clock()):
            endpoint = endpoints.get(head.endpoint)
            if endpoint is None:
                await self._history.write(outbox.forget, head.endpoint)
            elif endpoint.status == "active" and head.endpoint not in self._running:
                task = asyncio.create_task(self._deliver(endpoint, head))
                self._running[head.endpoint] = task
                task.add_done_callback(partial(self._ended, head.endpoint))

    def _ended(self, endpoint: str, _: asyncio.Task[None]) -> None:
        del self._running[endpoint]

    async def idle(self) -> None:
        """Wait until what was begun has ended."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def stop(self) -> None:
        """End what runs; an attempt that is cut off is made again."""
        for task in self._running.values():
            task.cancel()
        await self.idle()

    async def _deliver(self, endpoint: WebhookEndpoint, delivery: Delivery) -> None:
        """Send one webhook after the other, until one is not taken or none is due."""
        try:
            async with self._slots:
                following: Delivery | None = delivery
                for _ in range(AT_A_TIME):
                    if following is not None:
                        following = await self._attempt(endpoint, following)
        except (HistoryUnavailable, *CLIENT_ERRORS) as error:
            log.warning("webhook_not_recorded", endpoint=endpoint.webhook_id, reason=str(error))

    async def _attempt(self, endpoint: WebhookEndpoint, delivery: Delivery) -> Delivery | None:
        """Send a webhook and record what came of it; return the next one to send now."""
        outcome = await self._send(endpoint, delivery.id, delivery.body)
        now = await self._clock()
        after = settled(delivery, outcome, now, random.uniform(0, JITTER))  # noqa: S311 - no secret
        await self._history.write(outbox.settle, after)
        self._observer.attempted(after)
        if after.status == GONE:
            await self._gone(endpoint)
        if after.state is DeliveryState.PENDING or after.status == GONE:
            return None
        following = await self._history.read(outbox.head, endpoint.webhook_id)
        return following if following is not None and following.due <= now else None
