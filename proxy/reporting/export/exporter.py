"""Moves events from a consumer group to a sink, at least once; a single bad event does not block the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from redis.exceptions import ResponseError

from proxy.reporting.export.group import ClaimedEntry, ConsumerGroup
from proxy.reporting.export.retry import STORE_TROUBLE, Failing, GaveUp, Retry
from proxy.reporting.export.sinks import Poisoned, Sink, TryLater
from proxy.reporting.stream import RecordedEvent, UnreadableEvent, decode

POLL_SECONDS = 0.5
_MOST_FAULTS = 5
"""Failures of the receiver itself (HTTP 5xx) in a row, after which the events of a batch are tried one by one."""

Delivery = tuple[ClaimedEntry, RecordedEvent]


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
        self._retrying = Retry(patience, report)
        self._retry = self._retrying.until_done
        self._claimed: dict[tuple[str, bytes], ClaimedEntry] = {}
        self._next_sweep = 0.0
        self.delivered = 0
        self.set_aside = 0

    def stop(self) -> None:
        """End the run after the current batch."""
        self._retrying.stopping.set()

    async def run(self, *, follow: bool) -> None:
        """Deliver until no event is left, or until `stop`. Raises `Refused` and `GaveUp`.

        Not to be cancelled: before Python 3.12 a cancellation can be lost in `asyncio.wait_for`, under redis-py.
        """
        await self._retry(self._group.create)
        renewal = asyncio.create_task(self._renew())
        try:
            await self._deliver_all(follow=follow)
        finally:
            self._retrying.stopping.set()
            await renewal
            with suppress(*STORE_TROUBLE):
                await self._group.release(self._claimed.values())
                await self._group.leave()

    async def _deliver_all(self, *, follow: bool) -> None:
        loop = asyncio.get_running_loop()
        idle_since = loop.time()
        while not self._retrying.stopping.is_set():
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
            await self._retrying.pause(POLL_SECONDS)

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

    async def _send(self, events: Sequence[Delivery]) -> None:
        """Deliver the events together, or without those that the receiver rejects."""
        began = asyncio.get_running_loop().time()
        batch = [recorded for _, recorded in events]
        while True:
            try:
                await self._retry(partial(self._sink.send, batch), faults=_MOST_FAULTS, since=began)
            except Poisoned as error:
                await self._without_poison(events, error)
            except Failing:
                if not await self._sift(events):
                    continue
            else:
                await self._acknowledge([delivery for delivery, _ in events])
            return

    async def _without_poison(self, events: Sequence[Delivery], error: Poisoned) -> None:
        """Set aside what the receiver names, or the one event that it rejects alone; deliver the rest, in halves."""
        bad = [each for each in events if each[1].event.id in error.events]
        if not bad and len(events) > 1:
            middle = len(events) // 2
            await self._send(events[:middle])
            await self._send(events[middle:])
            return
        bad = bad or list(events)
        for delivery, recorded in bad:
            await self._set_aside(delivery, error.events.get(recorded.event.id, str(error)))
        if rest := [each for each in events if each not in bad]:
            await self._send(rest)

    async def _sift(self, events: Sequence[Delivery]) -> bool:
        """Deliver one by one a batch on which the receiver fails again and again, as it may do because of one event.

        What it fails on while it takes others is set aside. Return False where it takes none: it is the receiver.
        """
        failed: list[Delivery] = []
        taken = False
        for delivery, recorded in random.sample(events, len(events)):  # bad ones in front must not end every round
            try:
                await self._sink.send([recorded])
            except Poisoned as error:
                await self._set_aside(delivery, str(error))
            except TryLater:
                failed.append((delivery, recorded))
                if not taken and len(failed) == min(_MOST_FAULTS, len(events)):
                    return False
            else:
                await self._acknowledge([delivery])
                taken = True
        for delivery, recorded in failed:
            try:
                await self._retry(partial(self._sink.send, [recorded]), faults=_MOST_FAULTS)
            except Poisoned as error:
                await self._set_aside(delivery, str(error))
            except Failing as error:
                await self._set_aside(delivery, f"the receiver takes other events and fails on this one: {error}")
            else:
                await self._acknowledge([delivery])
        return True

    async def _acknowledge(self, deliveries: Sequence[ClaimedEntry]) -> None:
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
        while not self._retrying.stopping.is_set():
            await self._retrying.pause(self._takeover / 3)
            with suppress(*STORE_TROUBLE):
                await self._group.renew(list(self._claimed.values()))
