"""A gentle, steady load, measured: every answer with its time, from clients that keep their connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from middlewares.ledger.ledger import DISK_SECONDS
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.wire import Answer, Wire, request

EACH = 8
PERIOD = 0.2
"""Seconds between two requests of one client."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. Times in seconds of `time.monotonic`."""

    customer: Customer | None
    """None: a bystander's, who is told that there is no such route, which takes the gate no Redis."""
    client: int
    began: float
    took: float
    answer: Answer


class Steady:
    """`EACH` clients for every customer, with one request at a time for a route that the gateway answers at once.

    As many bystanders, and a disk that is written to as often, show what things take on this machine at this time.
    """

    def __init__(self, gate: Deployment, customers: Sequence[Customer]) -> None:
        self._gate = gate
        self._clients = list(enumerate(customer for customer in (*customers, None) for _ in range(EACH)))
        self.samples: list[Sample] = []
        self.syncs: list[float] = []
        """Seconds that it took to have a line on disk, in the folder of the gate."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For the time of the context, once every client was served."""
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(self._client(number, customer)) for number, customer in self._clients]
            clients.append(group.create_task(self._disk()))
            await self.all_served(0)
            yield
            for client in clients:
                client.cancel()

    async def all_served(self, since: float) -> float:
        """Wait until every client was served (200) after that time; the seconds from then to the last one's first."""
        first: dict[int, float] = {}

        def served() -> bool:
            for sample in self.samples:
                if sample.began >= since and sample.answer.status == 200:
                    first.setdefault(sample.client, sample.began + sample.took - since)
            return len(first) == sum(customer is not None for _, customer in self._clients)

        await eventually(served)
        return max(first.values())

    async def _disk(self) -> None:
        with (self._gate.folder / "disk").open("wb", buffering=0) as file:
            while True:
                began = time.monotonic()
                file.write(b"a line that must be on disk before anything else happens\n")
                await asyncio.to_thread(os.fsync, file.fileno())
                self.syncs.append(time.monotonic() - began)
                await asyncio.sleep(PERIOD / EACH)

    async def _client(self, number: int, customer: Customer | None) -> None:
        asked = request("GET", "/no-such-route")
        if customer:
            asked = request("GET", "/stream/a.ts", [*customer.headers.items(), ("x-mock-gateway", "bytes=1")])
        async with await Wire.open(self._gate.address) as wire:
            due = time.monotonic() + PERIOD * number / len(self._clients)
            while True:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                began = time.monotonic()
                answer = await wire.ask(asked)
                self.samples.append(Sample(customer, number, began, time.monotonic() - began, answer))
                due = max(due + PERIOD, time.monotonic())


class Figures:
    """What answers took: p99 and the longest of customers; p99 of bystanders; the longest sync. In seconds."""

    def __init__(self, samples: Iterable[Sample], syncs: Iterable[float]) -> None:
        samples = list(samples)
        self.sync = max(syncs)
        self.p99, self.longest = _percentiles(sample.took for sample in samples if sample.customer)
        self.normal, _ = _percentiles(sample.took for sample in samples if not sample.customer)
        self._count = len(samples)

    @property
    def slack(self) -> float:
        """What a busy machine adds, in seconds: a customer's answer passes four hands (gate, Redis, disk, gateway)."""
        return 4 * self.normal

    def __str__(self) -> str:
        times = self.p99, self.longest, self.normal, self.sync
        p99, longest, normal, sync = (round(seconds * 1000) for seconds in times)
        return f"p99 {p99} ms, longest {longest} ms of {self._count} answers (bystanders {normal} ms, disk {sync} ms)"

    @property
    def disk_is_slow(self) -> bool:
        """Whether an admission by way of the journal may have been given up."""
        return self.sync >= DISK_SECONDS


def _percentiles(seconds: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return ordered[-1 - len(ordered) // 100], ordered[-1]
