"""Moves events from a consumer group to a sink: at least once, and never stuck behind a single one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from proxy.reporting.export.group import Delivery, Group
from proxy.reporting.export.sinks import Poisoned, Sink, TryLater
from proxy.reporting.stream import Recorded, UnreadableEvent, decode

T = TypeVar("T")

_STORE_TROUBLE = (RedisError, RedisClusterException, OSError)

POLL_SECONDS = 0.5
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0


class GaveUp(Exception):
    """Nothing has worked for too long; what was not delivered waits for the next run."""


class Exporter:
    """One run over a group. `delivered` and `set_aside` count its events so far."""

    def __init__(
        self,
        group: Group,
        sink: Sink,
        *,
        batch: int,
        takeover: float,
        patience: float | None,
        report: Callable[[str], None],
    ) -> None:
        """`takeover` is the group's, in seconds; `patience` is how many seconds to go on while nothing works (None:
        for ever); `report` hears of trouble, a line each time that it changes.
        """
        self._group = group
        self._sink = sink
        self._batch = batch
        self._takeover = takeover
        self._patience = patience
        self._report = report
        self._in_hand: dict[tuple[str, bytes], Delivery] = {}
        self._next_sweep = 0.0
        self._stopping = asyncio.Event()
        self.delivered = 0
        self.set_aside = 0

    def stop(self) -> None:
        """End the run after the batch in hand."""
        self._stopping.set()

    async def run(self, *, follow: bool) -> None:
        """Deliver until no event is left, or until `stop`. Raises `Refused` and `GaveUp`.

        Not to be cancelled: before Python 3.12 a cancellation can be lost in `asyncio.wait_for`, under redis-py.
        """
        await self._persevere(self._group.create)
        renewal = asyncio.create_task(self._renew())
        try:
            await self._deliver_all(follow=follow)
        finally:
            self._stopping.set()
            await renewal
            with suppress(*_STORE_TROUBLE):
                await self._group.release(self._in_hand.values())
                await self._group.leave()

    async def _deliver_all(self, *, follow: bool) -> None:
        loop = asyncio.get_running_loop()
        idle_since = loop.time()
        while not self._stopping.is_set():
            deliveries = await self._persevere(self._take)
            if deliveries:
                await self._deliver(deliveries)
                idle_since = loop.time()
                continue
            if not follow:
                elsewhere = await self._persevere(self._group.pending)
                if elsewhere == 0:
                    return
                if self._patience is not None and loop.time() - idle_since > self._patience:
                    raise GaveUp(f"another exporter of this group still works on {elsewhere} events")
            await self._pause(POLL_SECONDS)

    async def _take(self) -> list[Delivery]:
        """The next batch: what dead exporters left, then what is new."""
        now = asyncio.get_running_loop().time()
        deliveries: list[Delivery] = []
        try:
            if now >= self._next_sweep:
                deliveries = await self._group.abandoned(self._batch)
                if not deliveries:
                    self._next_sweep = now + self._takeover / 4
            deliveries = deliveries or await self._group.new(self._batch)
        except ResponseError as error:
            if "NOGROUP" in str(error):  # lost in a failover; its receiver knows the ids that come again
                await self._group.create()
            raise
        self._in_hand = {(each.stream, each.entry): each for each in deliveries}
        return deliveries

    async def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        readable = []
        for each in deliveries:
            try:
                readable.append((each, decode(each.stream, each.entry, each.fields)))
            except UnreadableEvent as error:
                await self._set_aside(each, str(error))
        if readable:
            await self._send(readable)

    async def _send(self, events: Sequence[tuple[Delivery, Recorded]]) -> None:
        """Deliver together, or one by one where one of them spoils the batch."""
        deliveries = [delivery for delivery, _ in events]
        try:
            await self._persevere(lambda: self._sink.send([recorded for _, recorded in events]))
        except Poisoned as error:
            if len(events) == 1:
                await self._set_aside(deliveries[0], str(error))
                return
            for each in events:
                await self._send([each])
        else:
            await self._persevere(lambda: self._group.acknowledge(deliveries))
            self._let_go(deliveries)
            self.delivered += len(deliveries)

    async def _set_aside(self, delivery: Delivery, reason: str) -> None:
        await self._persevere(lambda: self._group.set_aside(delivery, reason))
        self._let_go([delivery])
        self.set_aside += 1
        self._report(f"set aside entry {delivery.entry.decode()} of {delivery.stream}: {reason}")

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        for each in deliveries:
            del self._in_hand[each.stream, each.entry]

    async def _renew(self) -> None:
        """Tell the group that this exporter lives, however long a delivery takes."""
        while not self._stopping.is_set():
            await self._pause(self._takeover / 3)
            with suppress(*_STORE_TROUBLE):
                await self._group.renew(list(self._in_hand.values()))

    async def _persevere(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it works, ever less often. Raises `GaveUp` when patience ends, or the run is to."""
        loop = asyncio.get_running_loop()
        began, wait, said = loop.time(), _FIRST_WAIT, ""
        while True:
            try:
                result = await attempt()
            except (TryLater, *_STORE_TROUBLE) as error:
                trouble = str(error)
                pause = wait * random.uniform(0.5, 1)  # noqa: S311 - so that exporters do not come back in step
                if isinstance(error, TryLater) and error.after is not None:
                    pause = max(pause, error.after)
            else:
                if said:
                    self._report("works again")
                return result
            out_of_patience = self._patience is not None and loop.time() + pause - began > self._patience
            if out_of_patience or self._stopping.is_set():
                raise GaveUp(trouble)
            if trouble != said:
                self._report(f"{trouble}; trying again")
                said = trouble
            await self._pause(pause)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past `stop`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
