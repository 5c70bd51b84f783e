"""Moves events from a consumer group to a sink, at least once; a single bad event does not block the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from middlewares.store import StoreError
from proxy.reporting.export.group import ClaimedEntry, ConsumerGroup
from proxy.reporting.export.sinks import Poisoned, Sink, TryLater
from proxy.reporting.stream import RecordedEvent, UnreadableEvent, decode

T = TypeVar("T")

_STORE_TROUBLE = (RedisError, RedisClusterException, OSError, StoreError)

POLL_SECONDS = 0.5
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0


class GaveUp(Exception):
    """Delivery has failed for too long; events that were not delivered wait for the next run."""


class Exporter:
    """One run of an export. `delivered` and `set_aside` count its events so far."""

    def __init__(
        self,
        group: ConsumerGroup,
        sink: Sink,
        *,
        batch: int,
        takeover: float,
        patience: float | None,
        report: Callable[[str], None],
    ) -> None:
        """Set up a run.

        `takeover` is that of the group, in seconds; `patience` is the seconds of retries while nothing works (None: for
        ever); `report` is called with a line about trouble, each time that it changes.
        """
        self._group = group
        self._sink = sink
        self._batch = batch
        self._takeover = takeover
        self._patience = patience
        self._report = report
        self._claimed: dict[tuple[str, bytes], ClaimedEntry] = {}
        self._next_sweep = 0.0
        self._stopping = asyncio.Event()
        self.delivered = 0
        self.set_aside = 0

    def stop(self) -> None:
        """End the run after the current batch."""
        self._stopping.set()

    async def run(self, *, follow: bool) -> None:
        """Deliver until no event is left, or until `stop`. Raises `Refused` and `GaveUp`.

        Not to be cancelled: before Python 3.12 a cancellation can be lost in `asyncio.wait_for`, under redis-py.
        """
        await self._retry(self._group.create)
        renewal = asyncio.create_task(self._renew())
        try:
            await self._deliver_all(follow=follow)
        finally:
            self._stopping.set()
            await renewal
            with suppress(*_STORE_TROUBLE):
                await self._group.release(self._claimed.values())
                await self._group.leave()

    async def _deliver_all(self, *, follow: bool) -> None:
        loop = asyncio.get_running_loop()
        idle_since = loop.time()
        while not self._stopping.is_set():
            deliveries = await self._retry(self._take)
            if deliveries:
                await self._deliver(deliveries)
                idle_since = loop.time()
                continue
            if not follow:
                elsewhere = await self._retry(self._group.pending)
                if elsewhere == 0:
                    return
                if self._patience is not None and loop.time() - idle_since > self._patience:
                    raise GaveUp(f"another exporter of this group still works on {elsewhere} events")
            await self._pause(POLL_SECONDS)

    async def _take(self) -> list[ClaimedEntry]:
        """Return the next batch: entries that dead exporters left, then new ones."""
        now = asyncio.get_running_loop().time()
        deliveries: list[ClaimedEntry] = []
        try:
            if now >= self._next_sweep:
                deliveries = await self._group.abandoned(self._batch)
                if not deliveries:
                    self._next_sweep = now + self._takeover / 4
            deliveries = deliveries or await self._group.new(self._batch)
        except ResponseError as error:
            if "NOGROUP" in str(error):  # lost in a failover; the receiver knows the ids of events that come again
                await self._group.create()
            raise
        self._claimed = {(each.stream, each.entry): each for each in deliveries}
        return deliveries

    async def _deliver(self, deliveries: Sequence[ClaimedEntry]) -> None:
        readable = []
        for each in deliveries:
            try:
                readable.append((each, decode(each.stream, each.entry, each.fields)))
            except UnreadableEvent as error:
                await self._set_aside(each, str(error))
        if readable:
            await self._send(readable)

    async def _send(self, events: Sequence[tuple[ClaimedEntry, RecordedEvent]]) -> None:
        """Deliver the events together, or one by one if the receiver rejects the batch."""
        deliveries = [delivery for delivery, _ in events]
        try:
            await self._retry(lambda: self._sink.send([recorded for _, recorded in events]))
        except Poisoned as error:
            if len(events) == 1:
                await self._set_aside(deliveries[0], str(error))
                return
            for each in events:
                await self._send([each])
        else:
            await self._retry(lambda: self._group.acknowledge(deliveries))
            self._forget(deliveries)
            self.delivered += len(deliveries)

    async def _set_aside(self, delivery: ClaimedEntry, reason: str) -> None:
        await self._retry(lambda: self._group.set_aside(delivery, reason))
        self._forget([delivery])
        self.set_aside += 1
        self._report(f"set aside entry {delivery.entry.decode()} of {delivery.stream}: {reason}")

    def _forget(self, deliveries: Sequence[ClaimedEntry]) -> None:
        for each in deliveries:
            del self._claimed[each.stream, each.entry]

    async def _renew(self) -> None:
        """Renew the claims of this exporter, however long a delivery takes."""
        while not self._stopping.is_set():
            await self._pause(self._takeover / 3)
            with suppress(*_STORE_TROUBLE):
                await self._group.renew(list(self._claimed.values()))

    async def _retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Retry until it works, with growing pauses. Raises `GaveUp` when patience or the run ends."""
        loop = asyncio.get_running_loop()
        began, wait, reported = loop.time(), _FIRST_WAIT, ""
        while True:
            try:
                result = await attempt()
            except (TryLater, *_STORE_TROUBLE) as error:
                trouble = str(error)
                pause = wait * random.uniform(0.5, 1)  # noqa: S311 - so that exporters do not retry in step
                if isinstance(error, TryLater) and error.after is not None:
                    pause = max(pause, error.after)
            else:
                if reported:
                    self._report("works again")
                return result
            out_of_patience = self._patience is not None and loop.time() + pause - began > self._patience
            if out_of_patience or self._stopping.is_set():
                raise GaveUp(trouble)
            if trouble != reported:
                self._report(f"{trouble}; trying again")
                reported = trouble
            await self._pause(pause)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _pause(self, seconds: float) -> None:
        """Sleep, at most until `stop`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
