"""Pixels of renditions: width x height x frames, as measured, else by profile and source. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from middlewares.ledger.model import Provenance
from middlewares.usage_tracker.media_probe import MediaMeasure
from middlewares.usage_tracker.meters.renditions import Profile, Rendition, Size, scaled

ASSUMED = Profile((1280, 720), (60, 1))
"""Size and rate of a rendition for which none is reported, so that it is not free."""
LARGEST_SIDE = 16_384
"""Most pixels on a side of a rendition that nobody has bounded; no encoder of a gateway makes larger ones."""
SLACK_MS = 1_000
"""How much longer than its segment a rendition of a known rate may be before that needs attention."""

_DOUBT = (Provenance.MEASURED, Provenance.UPSTREAM, Provenance.DECLARED, Provenance.ESTIMATED)


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels of one rendition."""

    made: int
    """As many as the gateway pays for."""
    requested: int
    """As many of them as were requested."""
    source: Provenance


def least_certain(*sources: Provenance) -> Provenance:
    """Return the one of several provenances that says the least."""
    return max(sources, key=_DOUBT.index)


@dataclass(frozen=True, slots=True)
class SegmentVideo:
    """What is known of a segment's video; zeros stand for what is not."""

    milliseconds: int
    clock: Provenance
    """Where the milliseconds come from."""
    frames: int
    pictures: tuple[Size, ...]
    """Size of the pictures of each of its tracks, or of those of a rendition, which have the same aspect ratio."""

    @classmethod
    def of(
        cls, segment: MediaMeasure, renditions: Sequence[Rendition], milliseconds: int, clock: Provenance
    ) -> SegmentVideo:
        """Return what the measurements of a segment and its renditions say."""
        pictures = _pictures([segment, *(each.measure for each in renditions)])
        return cls(milliseconds, clock, _frames(segment), pictures)


def pixels_of(rendition: Rendition, video: SegmentVideo, source: Provenance) -> Pixels:
    """Return the pixels of one rendition of a segment; `source` is the provenance of the rendition's profile."""
    profile, measure = rendition.profile, rendition.measure
    measured = max((track.width * track.height * track.frames for track in measure.video), default=0)
    if measure.reliable and measured:
        return Pixels(measured, min(measured, _most(rendition, video.milliseconds)), source)
    # Of several tracks it is not known which one the gateway takes.
    sizes = [scaled(profile.size, picture) for picture in video.pictures] or [profile.size]
    size = max(sizes, key=lambda size: size[0] * size[1])
    if not all(size) or not video.pictures:  # without a picture its aspect ratio is the profile's, perhaps
        source = Provenance.ESTIMATED
    if not all(size):
        size = ASSUMED.size
    frames = profile.frames(video.milliseconds)
    if frames:
        source = least_certain(source, video.clock)
    elif video.frames:
        frames = video.frames
    else:
        frames, source = ASSUMED.frames(video.milliseconds), Provenance.ESTIMATED
    pixels = max(measured, size[0] * size[1] * max(frames, _frames(measure)))
    return Pixels(pixels, pixels, source)


def _most(rendition: Rendition, milliseconds: int) -> int:
    """Return the pixels that what was requested allows, of a source of any aspect ratio."""
    frames = _frames(rendition.measure)
    if not rendition.requested:
        return frames * LARGEST_SIDE * LARGEST_SIDE
    side = max(rendition.profile.size) + 1
    return side * side * min(frames, rendition.profile.frames(milliseconds + SLACK_MS) or frames)


def _frames(measure: MediaMeasure) -> int:
    """Return the frames of the video track with the most of them."""
    return max((track.frames for track in measure.video), default=0)


def _pictures(measures: Sequence[MediaMeasure]) -> tuple[Size, ...]:
    """Return the sizes of the pictures of the first measurement that knows one."""
    for measure in measures:
        sizes = tuple((track.width, track.height) for track in measure.video if track.width and track.height)
        if sizes:
            return sizes
    return ()
