"""Light, steady load, measured: every response with its time, from clients that keep their connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from config.runtime import StoreSettings
from middlewares.ledger.admission.admission import DISK_PART
from tests.support.deployment import Customer, Deployment, eventually
from tests.support.raw_http import RawConnection, Response, request

EACH = 8
PERIOD = 0.2
BUSY_PERIOD = 0.04
"""The same of clients so busy that workers take shares of the limits for them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One response, with its times in seconds of `time.monotonic`."""

    customer: Customer | None
    """Sender; None is a bystander, whose requests name no route, so that Tollgate refuses them without Redis."""
    client: int
    began: float
    took: float
    response: Response


class SteadyLoad:
    """`EACH` clients for every customer, with one request at a time for a route that the gateway serves at once.

    As many bystanders, and a disk that is written to as often, show how busy this machine is meanwhile.
    """

    def __init__(self, deployment: Deployment, customers: Sequence[Customer], *, period: float = PERIOD) -> None:
        """`period`: seconds between two requests of one client."""
        self._deployment = deployment
        self._period = period
        self._clients = list(enumerate(customer for customer in (*customers, None) for _ in range(EACH)))
        self.samples: list[Sample] = []
        self.syncs: list[float] = []
        """Seconds that each sync of a line to disk took, in the folder of the deployment."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run for the time of the context, which is entered once every client was served."""
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(self._client(number, customer)) for number, customer in self._clients]
            clients.append(group.create_task(self._disk()))
            await self.all_served(0)
            yield
            for client in clients:
                client.cancel()

    async def all_served(self, since: float) -> float:
        """Wait until every client was served (200) after `since`; return the seconds until the last one was."""
        first: dict[int, float] = {}

        def served() -> bool:
            for sample in self.samples:
                if sample.began >= since and sample.response.status == 200:
                    first.setdefault(sample.client, sample.began + sample.took - since)
            return len(first) == sum(customer is not None for _, customer in self._clients)

        await eventually(served)
        return max(first.values())

    async def _disk(self) -> None:
        with (self._deployment.folder / "disk").open("wb", buffering=0) as file:
            while True:
                began = time.monotonic()
                file.write(b"a line that must be on disk before anything else happens\n")
                await asyncio.to_thread(os.fsync, file.fileno())
                self.syncs.append(time.monotonic() - began)
                await asyncio.sleep(PERIOD / EACH)

    async def _client(self, number: int, customer: Customer | None) -> None:
        head = request("GET", "/no-such-route")
        if customer:
            head = request("GET", "/stream/a.ts", [*customer.headers.items(), ("x-mock-gateway", "bytes=1")])
        async with await RawConnection.open(self._deployment.address) as connection:
            due = time.monotonic() + self._period * number / len(self._clients)
            while True:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                began = time.monotonic()
                response = await connection.exchange(head)
                self.samples.append(Sample(customer, number, began, time.monotonic() - began, response))
                due = max(due + self._period, time.monotonic())


class Latencies:
    """Response times in seconds: p99 and maximum of customers, p99 of bystanders; and the longest sync."""

    def __init__(self, samples: Iterable[Sample], syncs: Iterable[float]) -> None:
        samples = list(samples)
        self.sync = max(syncs)
        self.p99, self.longest = _percentiles(sample.took for sample in samples if sample.customer)
        self.normal, _ = _percentiles(sample.took for sample in samples if not sample.customer)
        self._count = len(samples)

    @property
    def slack(self) -> float:
        """Seconds that a busy machine adds: a response passes four parties (Tollgate, Redis, disk, gateway)."""
        return 4 * self.normal

    def __str__(self) -> str:
        times = self.p99, self.longest, self.normal, self.sync
        p99, longest, normal, sync = (round(seconds * 1000) for seconds in times)
        return f"p99 {p99} ms, longest {longest} ms of {self._count} responses (bystanders {normal} ms, disk {sync} ms)"

    @property
    def disk_is_slow(self) -> bool:
        """True if an admission by way of the journal may have been given up, in a worker as busy as this machine is."""
        return self.sync + self.normal >= StoreSettings().deadline_seconds / DISK_PART


def _percentiles(seconds: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return ordered[-1 - len(ordered) // 100], ordered[-1]
