"""Meter of segment pushes: milliseconds of video per rendition, and the pixels that the network is paid by.

The duration of a segment is read from its own bytes. Where they cannot be read it is what the gateway's renditions of
it say, then the client's `Content-Duration` if the plan trusts that, and then what the gateway itself assumes (gateway
contract section 1.5). The event tells which by its provenance.

Renditions are the parts of a multipart response. Any other response does not name them (gateway contract section 6.2):
they are then those of the plan's profiles, else of the presets that a gateway has by default.
"""

from __future__ import annotations

from config.transcoding import Transcoding
from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media.multipart import boundary_of
from middlewares.usage_tracker.meters.base import header, metered
from middlewares.usage_tracker.meters.renditions import Media, Rendition, RenditionsReader

LONGEST_MS = 300_000
"""The longest segment that orchestrators take, in milliseconds; a longer duration is cut to it."""
ASSUMED_MS = 2_000
"""The duration in milliseconds that the gateway assumes for a segment without one."""
DEFAULT_PRESETS = (b"P240p30fps16x9", b"P360p30fps16x9")
"""Renditions that a gateway makes by default."""
ASSUMED = Rendition(1280, 720, (60, 1))
"""Size and rate of a rendition for which none is reported, so that it is not free."""

FASTEST = 240
"""Highest believable frames per second; a file that claims more is cut to it."""

_DOUBT = (Provenance.MEASURED, Provenance.UPSTREAM, Provenance.DECLARED, Provenance.ESTIMATED)


class TranscodingMeter:
    """Measures a segment in the request, and its renditions in the response."""

    __slots__ = ("_declared_ms", "_renditions", "_segment", "_status", "_transcoding")

    def __init__(self, transcoding: Transcoding, request_headers: Headers) -> None:
        self._transcoding = transcoding
        self._declared_ms = _whole(header(request_headers, b"content-duration"))
        self._segment = Media()
        self._status = 0
        self._renditions: RenditionsReader | None = None

    def request_body(self, chunk: bytes) -> None:
        self._segment.feed(chunk)

    def response_start(self, status: int, headers: Headers) -> None:
        self._status = status
        content_type = next((value for name, value in headers if name == b"content-type"), b"")
        boundary = boundary_of(content_type)
        if status == 200 and boundary and header(headers, b"content-encoding") in (b"", b"identity"):
            self._renditions = RenditionsReader(boundary, self._transcoding.profiles)

    def response_body(self, chunk: bytes) -> None:
        if self._renditions is not None:
            self._renditions.feed(chunk)

    def usage(self) -> Usage:
        if self._status != 200:
            return Usage(complete=400 <= self._status < 500)
        if self._renditions is not None:
            found, source, complete = self._renditions.found, Provenance.UPSTREAM, self._renditions.complete
        else:
            found, source = self._expected()
            complete = True
        if not found:
            return Usage(complete=False)
        milliseconds, clock = self._duration(found)
        pixels = [self._pixels(rendition, milliseconds, clock, source) for rendition in found]
        return metered(
            {Unit.MILLISECONDS: milliseconds * len(found), Unit.PIXELS: sum(count for count, _ in pixels)},
            {Unit.MILLISECONDS: clock, Unit.PIXELS: max((doubt for _, doubt in pixels), key=_DOUBT.index)},
            complete=complete,
        )

    def _expected(self) -> tuple[list[Rendition], Provenance]:
        """Return the renditions of a response that does not name them, and the provenance of that."""
        if self._transcoding.profiles:
            return [Rendition.of_profile(profile) for profile in self._transcoding.profiles], Provenance.DECLARED
        return [Rendition.named(name, ()) for name in DEFAULT_PRESETS], Provenance.ESTIMATED

    def _duration(self, renditions: list[Rendition]) -> tuple[int, Provenance]:
        """Return the milliseconds of the segment, and their provenance."""
        measured = self._segment.milliseconds()
        if measured is not None:
            return min(measured, LONGEST_MS), Provenance.MEASURED
        reported = max((rendition.media.milliseconds() or 0 for rendition in renditions), default=0)
        if reported:
            return min(reported, LONGEST_MS), Provenance.UPSTREAM
        if self._transcoding.trust_content_duration and self._declared_ms:
            return min(self._declared_ms, LONGEST_MS), Provenance.DECLARED
        return ASSUMED_MS, Provenance.ESTIMATED

    def _pixels(
        self, rendition: Rendition, milliseconds: int, clock: Provenance, source: Provenance
    ) -> tuple[int, Provenance]:
        """Return width x height x frames of a rendition, and the provenance of the least certain of the three."""
        width, height = rendition.media.size()
        if not width:
            width, height = rendition.width, rendition.height
        if not width:
            width, height, source = ASSUMED.width, ASSUMED.height, Provenance.ESTIMATED
        frames = rendition.media.frames()
        if not frames:
            rate, divisor = rendition.rate
            if rate:
                frames = -(-milliseconds * rate // (1000 * divisor))
                source = max(source, clock, key=_DOUBT.index)
            elif self._segment.frames():
                frames = min(self._segment.frames(), -(-milliseconds * FASTEST // 1000))
            else:
                frames = -(-milliseconds * ASSUMED.rate[0] // 1000)
                source = Provenance.ESTIMATED
        return width * height * frames, source


def _whole(text: bytes) -> int:
    """Return `text` as a whole number; 0 if it is none."""
    return int(text) if text.isdigit() and len(text) < 12 else 0
