"""Meter of audio-to-text: the duration of the audio that was sent."""

from __future__ import annotations

from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.peek import Peek
from middlewares.usage_tracker.media.sound import sound
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.form import Form
from middlewares.usage_tracker.meters.json_responses import text

MOST_MILLISECONDS_PER_BYTE = 1_000
"""Longest believable audio in one byte of its file; a header that claims more is not believed."""


class AudioMeter(ResponseKeeper):
    """Counts milliseconds of audio, by the container's own header; the transcript would miss silence.

    The duration of audio that cannot be read is estimated from its size, at `bytes_per_second`.
    """

    __slots__ = ("_bytes_per_second", "_form", "_sound")

    def __init__(self, headers: Headers, bytes_per_second: int) -> None:
        super().__init__()
        self._sound = Peek(sound)
        self._form = Form(headers, file="audio", sink=self._sound.feed)
        self._bytes_per_second = bytes_per_second

    def request_body(self, chunk: bytes) -> None:
        self._form.feed(chunk)

    def usage(self) -> Usage:
        count, _ = self.results(text, 1)
        if not count:
            return Usage(complete=False)
        size = self._sound.size or self._form.size
        length = self._sound.end()
        if length is None or length.milliseconds > size * MOST_MILLISECONDS_PER_BYTE:
            length = Length(size * 1000 // self._bytes_per_second, exact=False)
        source = Provenance.MEASURED if length.exact else Provenance.ESTIMATED
        return metered({Unit.MILLISECONDS: length.milliseconds}, {Unit.MILLISECONDS: source}, complete=True)
