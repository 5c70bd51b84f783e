"""OpenMeter's ingest: CloudEvents, whose repeats it finds by source and id."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proxy.reporting.export.http import HttpSink
from proxy.reporting.stream import RecordedEvent


class OpenMeterSink(HttpSink):
    """Sends `POST /api/v1/events`: several events as a batch, one event by itself.

    OpenMeter accepts a batch whole or not at all, and names no event in a refusal: the exporter then tries its halves.
    """

    path = "/api/v1/events"

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        if len(batch) != 1:
            await super().send(batch)
            return
        body = msgspec.json.encode(self._form.write(batch[0], self._names))
        response = await self._receiver.post("application/cloudevents+json", body)
        if not self._form.known(response.status, response.body):
            self._receiver.judge(response)
