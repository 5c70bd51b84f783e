"""Segments and sounds through their meters, measured by whatever probe a test has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.transcoding import Transcoding
from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, MediaTools, Spool, Verdict, VideoTrack
from middlewares.usage_tracker.meters import Meter
from middlewares.usage_tracker.meters.audio import AudioMeter
from middlewares.usage_tracker.meters.transcoding import TranscodingMeter
from tests.usage_tracker.meters.uploads import FORM, form

MULTIPART: Headers = [(b"content-type", b"multipart/mixed; boundary=b0undary")]
TRANSCRIPT = b'{"chunks":[],"text":""}'
BYTES_PER_SECOND = 1_000
PIECE = 16_384


class MeasuredAs:
    """A probe that knows bodies by their bytes; what it does not know it cannot read."""

    def __init__(self, known: Mapping[bytes, MediaMeasure] | None = None) -> None:
        self.known = dict(known or {})
        self.asked: list[tuple[MediaKind, bytes | int | None]] = []

    async def measure(self, kind: MediaKind, spool: Spool) -> MediaMeasure:
        """Return what is known of the body."""
        body = await spool.contents()
        self.asked.append((kind, body))
        return self.known.get(body, MediaMeasure(Verdict.UNREADABLE)) if isinstance(body, bytes) else NOTHING


NOTHING = MediaMeasure(Verdict.NOT_MEASURED)


def video(
    milliseconds: int, frames: int, width: int = 160, height: int = 90, verdict: Verdict = Verdict.MEASURED
) -> MediaMeasure:
    """Return the measurement of a segment with one track."""
    track = VideoTrack(frames, 25.0, milliseconds, milliseconds, width, height)
    return MediaMeasure(verdict, milliseconds, milliseconds, (track,))


async def passed(meter: Meter, body: bytes, head: tuple[int, Headers], response: Sequence[bytes]) -> Usage:
    """Return what a meter counts of one exchange."""
    for start in range(0, len(body), PIECE):
        meter.request_body(body[start : start + PIECE])
    meter.request_end()
    meter.response_start(*head)
    for piece in response:
        meter.response_body(piece)
    assert meter.media is not None
    await meter.media.measured()
    found = meter.usage()
    meter.media.close()
    return found


async def pushed(
    tools: MediaTools | None,
    body: bytes,
    response: bytes | list[bytes] = b"",
    *,
    headers: Headers | None = None,
    content_duration: str | None = None,
    status: int = 200,
    **transcoding: Any,
) -> Usage:
    """Return the usage of a segment; the response is multipart unless it is empty."""
    said = [] if content_duration is None else [(b"content-duration", content_duration.encode())]
    meter = TranscodingMeter(Transcoding.model_validate(transcoding), BYTES_PER_SECOND, said, tools)
    head = headers if headers is not None else MULTIPART if response else []
    return await passed(meter, body, (status, head), [response] if isinstance(response, bytes) else response)


async def transcribed(tools: MediaTools | None, sound: bytes, response: bytes = TRANSCRIPT) -> Usage:
    """Return the usage of a sound."""
    meter = AudioMeter(FORM, BYTES_PER_SECOND, tools)
    return await passed(meter, form(sound, name="audio", metadata='{"duration":"1"}'), (200, []), [response])


def times(usage: Usage) -> tuple[int, Provenance]:
    """Return milliseconds and where they come from."""
    return usage.units[Unit.MILLISECONDS], usage.provenance[Unit.MILLISECONDS]


def pixels(usage: Usage) -> tuple[int, Provenance]:
    """Return pixels and where they come from."""
    return usage.units[Unit.PIXELS], usage.provenance[Unit.PIXELS]
