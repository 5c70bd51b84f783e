"""An exporter in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.reporting.export.exporter import Exporter
from proxy.reporting.export.formats import ReceiverNames
from proxy.reporting.export.group import ConsumerGroup
from proxy.reporting.export.sinks import Sink
from tests.reporting.ledger_fixture import Books

NAMES = ReceiverNames("ETH")


class Run:
    """An exporter, and what it has reported."""

    def __init__(
        self, books: Books, sink: Sink, *, batch: int = 100, takeover: float = 60, patience: float | None = 20
    ) -> None:
        self.reports: list[str] = []
        self.sink = sink
        self.exporter = Exporter(
            ConsumerGroup(books.store.redis, books.streams(), "export", takeover),
            sink,
            batch=batch,
            takeover=takeover,
            patience=patience,
            report=self.reports.append,
        )

    async def drain(self) -> int:
        """Run until nothing is left; how many events were delivered."""
        try:
            await self.exporter.run(follow=False)
        finally:
            await self.sink.close()
        return self.exporter.delivered

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the streams meanwhile."""
        task = asyncio.create_task(self.exporter.run(follow=True))
        yield
        self.exporter.stop()
        await task
        await self.sink.close()


async def many(books: Books, count: int, apps: int = 5) -> list[str]:
    """Events of several apps, hence in several streams."""
    return [each for _ in range(apps) for each in await books.requests(await books.app(), count // apps)]
