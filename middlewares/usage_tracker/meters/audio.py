"""Meter of audio-to-text: the duration of the audio that was sent."""

from __future__ import annotations

import asyncio

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, MediaTools, Verdict
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.form import Form
from middlewares.usage_tracker.meters.json_responses import text


class AudioMeter(ResponseKeeper):
    """Counts milliseconds of audio, by the frames of its longest track; the transcript would miss silence.

    The upload is measured by FFmpeg while the gateway works on it. What could not be measured lasts as long as its size
    suggests, at `bytes_per_second`, and never less than what was counted.
    """

    __slots__ = ("_bytes_per_second", "_form", "_measure", "_media", "_probing", "_size", "_spool")

    def __init__(self, headers: Headers, bytes_per_second: int, media: MediaTools | None) -> None:
        super().__init__()
        self._form = Form(headers, file="audio", sink=self._keep)
        self._bytes_per_second = bytes_per_second
        self._media = media
        self._spool = media.spools.open() if media else None
        self._size = 0
        self._probing: asyncio.Task[MediaMeasure] | None = None
        self._measure = MediaMeasure(Verdict.NOT_MEASURED)

    def request_body(self, chunk: bytes) -> None:
        """Take a chunk of the form."""
        self._form.feed(chunk)

    def request_complete(self) -> None:
        """Begin to measure the file: its last byte has passed."""
        if self._media is not None and self._spool is not None and self._size:
            self._probing = asyncio.ensure_future(self._media.probe.measure(MediaKind.AUDIO, self._spool))

    async def measured(self) -> None:
        """Wait for the measurement, if one has begun."""
        if self._probing is not None:
            self._measure = await self._probing

    def close(self) -> None:
        """Give up what is not needed any more: the measurement, and the copy of the upload."""
        if self._probing is not None:
            self._probing.cancel()
        if self._spool is not None:
            self._spool.close()

    def usage(self) -> Usage:
        """Return the milliseconds that were measured, else estimated."""
        count, _ = self.results(text, 1)
        if not count:
            return Usage(complete=False)
        measure, source = self._measure, Provenance.MEASURED
        milliseconds = measure.milliseconds
        if not measure.reliable:
            estimate = (self._size or self._form.size) * 1000 // self._bytes_per_second
            milliseconds, source = max(milliseconds, estimate), Provenance.ESTIMATED
        return metered({Unit.MILLISECONDS: milliseconds}, {Unit.MILLISECONDS: source}, complete=True)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._spool is not None:
            self._spool.write(data)
