"""Runs of an exporter in the event loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.reporting.export.exporter import Exporter
from proxy.reporting.export.formats import ReceiverNames
from proxy.reporting.export.group import ConsumerGroup
from proxy.reporting.export.sinks import Sink
from tests.reporting.ledger_fixture import RecordedUsage

NAMES = ReceiverNames("ETH")


class ExporterRun:
    """An exporter, and what it has reported."""

    def __init__(
        self,
        usage_records: RecordedUsage,
        sink: Sink,
        *,
        batch: int = 100,
        takeover: float = 60,
        patience: float | None = 20,
    ) -> None:
        self.reports: list[str] = []
        self.sink = sink
        self.exporter = Exporter(
            ConsumerGroup(usage_records.sources, "export", takeover),
            sink,
            batch=batch,
            takeover=takeover,
            patience=patience,
            report=self.reports.append,
        )

    async def drain(self) -> int:
        """Run until nothing is left, and return the number of delivered events."""
        try:
            await self.exporter.run(follow=False)
        finally:
            await self.sink.close()
        return self.exporter.delivered

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the streams in the background."""
        task = asyncio.create_task(self.exporter.run(follow=True))
        yield
        self.exporter.stop()
        await task
        await self.sink.close()


async def many(usage_records: RecordedUsage, count: int, apps: int = 5) -> list[str]:
    """Record events of several apps, hence in several streams, and return their ids."""
    return [
        each for _ in range(apps) for each in await usage_records.requests(await usage_records.app(), count // apps)
    ]
