"""Listens for notices of changed records in Redis, so that a revoked key ends in every worker at once."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog
from redis.asyncio import RedisCluster
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from middlewares.auth.records import RecordRef
from proxy.control.records import CHANGES, Client
from proxy.store.clients import end

_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.control")


class ChangeListener(Protocol):
    """Whoever wants to know of changes, beside the cache of credentials."""

    def changed(self, ref: RecordRef) -> None:
        """Take notice of a changed record, of any kind."""

    def missed(self) -> None:
        """Take notice that notices may have been missed."""


class ChangeWatcher:
    """Calls `changed` for every notice of a change, and `missed` whenever notices may have been missed.

    That is after every subscription, the first and those after a lost connection. While there is none, only the cache's
    own time bounds what a worker remembers. A peer that disappeared silently is noticed after two `silence` (seconds).
    """

    def __init__(
        self,
        client: Client,
        *,
        changed: Callable[[RecordRef], None],
        missed: Callable[[], None],
        silence: float = 5.0,
    ) -> None:
        self._client = client
        self._changed = changed
        self._missed = missed
        self._silence = silence
        self._task: asyncio.Task[None] | None = None
        self._connected = True

    async def start(self) -> None:
        """Watch in the background, where an unreachable store is waited for."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            await end([self._task])

    async def _watch(self) -> None:
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            try:
                async with await self._pubsub() as pubsub:
                    await self._listen(pubsub)
            except Exception as error:  # of any kind: without this task, revocations would be missed
                if self._connected:
                    self._connected = False
                    pause = _SHORTEST_PAUSE_SECONDS
                    log.warning("changes_unavailable", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _pubsub(self) -> PubSub:
        """Return a subscriber; on a cluster at a random node, as every node passes on every notice."""
        if not isinstance(self._client, RedisCluster):
            return self._client.pubsub()
        await self._client.initialize()
        return self._client.pubsub(node=random.choice(self._client.get_nodes()))  # noqa: S311 - no secret

    async def _listen(self, pubsub: PubSub) -> None:
        await pubsub.subscribe(CHANGES)
        pinged = False
        while True:
            message = await pubsub.get_message(timeout=self._silence)
            if message is None:
                if pinged:
                    raise RedisConnectionError("Redis does not reply on the channel of changes")
                await pubsub.ping()
                pinged = True
                continue
            pinged = False
            if message["type"] == "subscribe":  # also after a reconnection within redis-py
                if not self._connected:
                    log.info("changes_recovered")
                self._connected = True
                self._missed()
            elif message["type"] == "message":
                self._notify(message["data"])

    def _notify(self, data: bytes) -> None:
        try:
            ref = msgspec.json.decode(data, type=RecordRef)
        except msgspec.DecodeError:
            log.warning("change_not_understood")
            self._missed()
        else:
            self._changed(ref)
