"""Meter of segment pushes: milliseconds of video per rendition, and the pixels that the network is paid by.

A segment lasts as long as the longest of its frames at their rate, the span of its time stamps, and the renditions that
came of it, which are what the operator paid for. FFmpeg measures all of them, outside the worker. Where it cannot, the
duration is the client's `Content-Duration` if the plan trusts that; else it is estimated by the segment's size and is
at least what the gateway itself assumes (gateway contract section 1.5). The event tells which by its provenance. A
segment that took too long to count lasts at least as long as its container claims, and needs attention.

Renditions are the parts of a multipart response, at most as many as the plan requests. Any other response does not name
them (gateway contract section 6.2): they are then those of the plan's profiles, else of the presets that a gateway has
by default. A rendition that is not at hand has its profile's size in the aspect ratio of the segment.
"""

from __future__ import annotations

from config.transcoding import Transcoding
from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.gateway_facts import ASSUMED_SEGMENT_MS, DEFAULT_PRESETS, LONGEST_SEGMENT_MS
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media.multipart import boundary_of
from middlewares.usage_tracker.media_probe import MediaKind, MediaTools
from middlewares.usage_tracker.meters.base import header, metered
from middlewares.usage_tracker.meters.rendition_pixels import SegmentVideo, least_certain, pixels_of
from middlewares.usage_tracker.meters.renditions import Profile, Rendition, RenditionsReader, divided
from middlewares.usage_tracker.probed_bodies import ProbedBodies


class TranscodingMeter:
    """Measures a segment in the request, and its renditions in the response."""

    __slots__ = ("_bytes_per_second", "_declared_ms", "_renditions", "_segment", "_status", "_transcoding", "media")

    def __init__(
        self, transcoding: Transcoding, bytes_per_second: int, request_headers: Headers, tools: MediaTools | None
    ) -> None:
        """`bytes_per_second` is what counts as a second of a segment that cannot be measured."""
        self._transcoding = transcoding
        self._bytes_per_second = bytes_per_second
        self._declared_ms = _whole(header(request_headers, b"content-duration"))
        self.media: ProbedBodies = ProbedBodies(tools)
        self._segment = self.media.open(MediaKind.SEGMENT)
        self._status = 0
        self._renditions: RenditionsReader | None = None

    def request_body(self, chunk: bytes) -> None:
        """Take a chunk of the segment."""
        self._segment.write(chunk)

    def request_end(self) -> None:
        """Begin to measure the segment."""
        self._segment.end()

    def response_start(self, status: int, headers: Headers) -> None:
        """Take the head of the response, which says whether it names renditions."""
        self._status = status
        content_type = next((value for name, value in headers if name == b"content-type"), b"")
        boundary = boundary_of(content_type)
        readable = status == 200 and boundary and header(headers, b"content-encoding") in (b"", b"identity")
        self._renditions = RenditionsReader(boundary, self.media) if readable else None

    def response_body(self, chunk: bytes) -> None:
        """Take a chunk of the renditions."""
        if self._renditions is not None:
            self._renditions.feed(chunk)

    def usage(self) -> Usage:
        """Return the milliseconds and pixels of all renditions."""
        if self._status != 200:
            return Usage(complete=400 <= self._status < 500)
        response = self._renditions
        if response is not None:
            found, source, complete = response.found, Provenance.UPSTREAM, response.complete
        else:
            found, source = self._expected()
            complete = True
        requested, beyond = divided(found, self._transcoding.profiles)
        if not requested:
            return Usage(complete=False)
        milliseconds, clock = self._duration(requested)
        video = SegmentVideo.of(self._segment.measure, requested, milliseconds, clock)
        pixels = [pixels_of(each, video, source) for each in requested]
        others = sum(pixels_of(each, video, source).made for each in beyond)
        return metered(
            {Unit.MILLISECONDS: milliseconds * len(requested), Unit.PIXELS: sum(each.requested for each in pixels)},
            {Unit.MILLISECONDS: clock, Unit.PIXELS: least_certain(*(each.source for each in pixels))},
            complete=complete,
            network={Unit.PIXELS: sum(each.made for each in pixels) + others},
            attention=bool(beyond)
            or any(each.requested < each.made for each in pixels)
            or (response is not None and response.more)
            or self._segment.measure.gave_up,
        )

    def _expected(self) -> tuple[list[Rendition], Provenance]:
        """Return the renditions of a response that does not name them, and the provenance of that."""
        if self._transcoding.profiles:
            return [
                Rendition(Profile.of_plan(profile), profile.name.encode()) for profile in self._transcoding.profiles
            ], Provenance.DECLARED
        return [Rendition(Profile.named(each.name), each.name) for each in DEFAULT_PRESETS], Provenance.ESTIMATED

    def _duration(self, renditions: list[Rendition]) -> tuple[int, Provenance]:
        """Return the milliseconds of the segment, and their provenance."""
        segment = self._segment.measure
        held = segment.milliseconds_held_against(self._segment.size)
        made = max((each.measure.milliseconds for each in renditions if each.measure.reliable), default=0)
        if segment.reliable:
            milliseconds, source = max(segment.milliseconds, made), Provenance.MEASURED
        elif made:
            milliseconds, source = max(segment.milliseconds, made), Provenance.UPSTREAM
        elif self._transcoding.trust_content_duration and self._declared_ms:
            milliseconds, source = max(held, self._declared_ms), Provenance.DECLARED
        else:
            by_size = self._segment.size * 1000 // self._bytes_per_second
            milliseconds, source = max(held, by_size, ASSUMED_SEGMENT_MS), Provenance.ESTIMATED
        return min(milliseconds, LONGEST_SEGMENT_MS), source


def _whole(text: bytes) -> int:
    """Return `text` as a whole number; 0 if it is none."""
    return int(text) if text.isdigit() and len(text) < 12 else 0
