"""Finds notifications and has them delivered: one process at a time, off every request's path."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from ulid import ULID

from config.settings import Settings
from middlewares.ledger.redis_keys import PREFIX, RedisKeys
from middlewares.store import StoreError
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.control.records import Client, UnknownRecord
from proxy.control.sealed_secrets import SealedSecrets
from proxy.control.webhook_endpoints import OPERATOR, WebhookEndpoint, WebhookEndpoints
from proxy.history.archive.lease import LEASE_SECONDS, release_lease, take_lease
from proxy.history.reader import LedgerSources
from proxy.history.store import History
from proxy.store.clients import CLIENT_ERRORS, now_ms, wait
from proxy.webhooks.notifications import outbox
from proxy.webhooks.notifications.attempts import SendOutcome
from proxy.webhooks.notifications.delivery import DAY_MS, GONE, WebhookDelivery
from proxy.webhooks.notifications.key_finder import KeyAgeFinder, RevocationFinder
from proxy.webhooks.notifications.limit_finder import LimitFinder
from proxy.webhooks.notifications.observer import NotificationObserver
from proxy.webhooks.notifications.pool_finder import Health, PoolFinder
from proxy.webhooks.notifications.round import Addressed, Finder, NotifierRound
from proxy.webhooks.notifications.sender import WebhookSender
from proxy.webhooks.notifications.statement_finder import StatementFinder
from proxy.webhooks.notifications.stream_finder import StreamFinder

LEASE = f"{PREFIX}notifier"
POLL_SECONDS = 1.0
LONGEST_WAIT = 15.0
"""Seconds between two rounds while Redis or the history is away."""
PRUNE_MS = 3_600_000

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.webhooks")


class Notifier:
    """The notifier of one process; it works while it has the lease. Without any endpoint it only asks for one."""

    def __init__(
        self,
        client: Client,
        keys: RedisKeys,
        history: History,
        settings: Settings,
        observer: NotificationObserver,
        *,
        health: Health = dict,
        clock: Callable[[], Awaitable[int]] | None = None,
        sender: WebhookSender | None = None,
    ) -> None:
        """`health` returns that of gateways, `clock` what counts as now in Unix milliseconds; None: Redis time."""
        self._client: Any = client
        self._history = history
        self._settings = settings.notifications
        self._observer = observer
        self._clock = clock or (lambda: now_ms(client))
        self._sealed = SealedSecrets(settings.data_dir)
        self._endpoints = WebhookEndpoints(client, self._sealed)
        self._sender = sender
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{ULID()}"
        self._limits = LimitFinder(client, keys, history, self._settings, settings.all_plans())
        sources = LedgerSources(client, keys, history)
        self._finders: Sequence[Finder] = (
            KeyAgeFinder(
                client,
                expiring_days=self._settings.key_expiring_days,
                old_days=settings.auth.rotate_after_days,
            ),
            RevocationFinder(history),
            StatementFinder(sources),
            StreamFinder(sources, self._settings.stream_idle_seconds),
            PoolFinder(client, settings.pools(), health),
        )
        self.delivery = WebhookDelivery(history, self._send, self._clock, observer, self._pause)
        self._pruned = 0
        self._available = True
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the run after the current round."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. Trouble with Redis or the history never ends it."""
        pause = POLL_SECONDS
        try:
            while not self._stopping.is_set():
                try:
                    await self.advance()
                    self._report("")
                    pause = POLL_SECONDS
                except (StoreError, *CLIENT_ERRORS) as error:
                    self._report(str(error))
                    pause = min(2 * pause, LONGEST_WAIT)
                await wait(self._stopping, pause)
        finally:
            await self.close()

    async def close(self) -> None:
        """End what is being delivered, and let another process take over at once."""
        await self.delivery.stop()
        if self._sender is not None:
            await self._sender.close()
        with suppress(*CLIENT_ERRORS):
            await release_lease(self._client, LEASE, self._owner)

    async def advance(self) -> None:
        """Do one round: find, write to the outbox, and begin to deliver. Raises `StoreError`, and as the client."""
        if not await take_lease(self._client, LEASE, self._owner, int(LEASE_SECONDS * 1_000)):
            return
        endpoints = {each.webhook_id: each for each in await self._endpoints.all()}
        if not endpoints:
            return
        current = NotifierRound(await self._clock(), endpoints)
        found = await self._limits.find(current)
        for finder in self._finders:
            found += await finder.find(current)
        await self._tell(found, current.now)
        await self.delivery.advance(endpoints)
        if current.now - self._pruned > PRUNE_MS:
            await self._history.write(outbox.prune, current.now - self._settings.keep_days * DAY_MS)
            self._pruned = current.now

    async def _tell(self, found: list[Addressed], now: int) -> None:
        """Write to the outbox what is not there yet; where nothing is new, nothing is written."""
        known = await self._history.read(outbox.known, [(name, each.id) for name, each in found]) if found else set()
        new = [(name, each) for name, each in found if (name, each.id) not in known]
        if new or self._limits.cursors:
            self._observer.found(await self._history.write(outbox.enqueue, new, now, self._limits.cursors))

    async def _send(self, endpoint: WebhookEndpoint, message_id: str, body: str) -> SendOutcome:
        if self._sender is None:
            self._sender = await asyncio.to_thread(WebhookSender, self._settings, self._sealed)
        return await self._sender.send(endpoint, message_id, body)

    async def _pause(self, endpoint: WebhookEndpoint) -> None:
        """Send no more to an endpoint that is gone, until it is resumed by hand."""
        target = AuditTarget("webhook", endpoint.webhook_id, "" if endpoint.owner == OPERATOR else endpoint.owner)
        async with AuditLog(self._client).act(Actor(ActorKind.SYSTEM, "notifier"), "webhook.change", target) as act:
            act.detail |= {"changed": "status", "status": GONE}
            with suppress(UnknownRecord):  # it was removed meanwhile
                await self._endpoints.change(endpoint, lambda found: replace(found, status="paused"))

    def _report(self, reason: str) -> None:
        """Log a change between working and not, once each."""
        if reason and self._available:
            log.error("webhooks_unavailable", reason=reason)
        elif not reason and not self._available:
            log.info("webhooks_recovered")
        self._available = not reason
