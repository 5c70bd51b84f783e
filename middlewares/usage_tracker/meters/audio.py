"""Meter of audio-to-text: the duration of the audio that was sent."""

from __future__ import annotations

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media_probe import MediaKind, MediaTools
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.form import Form
from middlewares.usage_tracker.meters.json_responses import text
from middlewares.usage_tracker.probed_bodies import ProbedBodies


class AudioMeter(ResponseKeeper):
    """Counts milliseconds of audio, by the frames of its longest track; the transcript would miss silence.

    The upload is measured by FFmpeg while the gateway works on it. What could not be measured lasts as long as its size
    suggests, at `bytes_per_second`, and never less than what was counted. Where that took too long, it never lasts less
    than its container claims either, and needs attention. The gateway pays by what the container claims (gateway
    contract section 6.2).
    """

    __slots__ = ("_bytes_per_second", "_form", "_upload", "media")

    def __init__(self, headers: Headers, bytes_per_second: int, tools: MediaTools | None) -> None:
        super().__init__()
        self.media: ProbedBodies = ProbedBodies(tools)
        self._upload = self.media.open(MediaKind.AUDIO)
        self._form = Form(headers, file="audio", sink=self._upload.write)
        self._bytes_per_second = bytes_per_second

    def request_body(self, chunk: bytes) -> None:
        """Take a chunk of the form."""
        self._form.feed(chunk)

    def request_end(self) -> None:
        """Begin to measure the file."""
        self._upload.end()

    def usage(self) -> Usage:
        """Return the milliseconds that were measured, else estimated."""
        count, _ = self.results(text, 1)
        if not count:
            return Usage(complete=False)
        measure, source = self._upload.measure, Provenance.MEASURED
        size = self._upload.size or self._form.size
        milliseconds = measure.milliseconds_held_against(size)
        if not measure.reliable:
            estimate = size * 1000 // self._bytes_per_second
            milliseconds, source = max(milliseconds, estimate), Provenance.ESTIMATED
        claimed = measure.container_milliseconds
        return metered(
            {Unit.MILLISECONDS: milliseconds},
            {Unit.MILLISECONDS: source},
            complete=True,
            network={} if claimed is None else {Unit.MILLISECONDS: claimed},
            attention=measure.gave_up,
        )
