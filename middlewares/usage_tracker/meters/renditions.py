"""Renditions in the response to a pushed segment: what was requested of each, and what came."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from config.transcoding import TranscodingProfile
from middlewares.exchange import Headers
from middlewares.usage_tracker.media.multipart import MultipartReader
from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure
from middlewares.usage_tracker.probed_bodies import NOT_MEASURED, ProbedBodies, ProbedBody

PARTS_KEPT = 32
"""Most renditions counted of one segment; no gateway makes more."""

_PRESET = re.compile(rb"P(\d{3,4})p(\d{2,3})fps(\d{1,2})x([1-9]\d?)")
"""Names of presets: height, frame rate and aspect ratio."""
_UNNAMED = re.compile(rb"webhook_(\d{2,4})x(\d{2,4})_\d+")
"""Names that the gateway gives to profiles without one."""
_WIDTHS = {(240, 16, 9): 426}
"""Widths of presets whose aspect ratio gives no even number."""

Size = tuple[int, int]
"""Width and height in pixels; zeros stand for what is not known."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a gateway makes renditions by; zeros stand for what is not known."""

    size: Size = (0, 0)
    rate: tuple[int, int] = (0, 1)
    """Frames per second, as numerator and denominator; 0: as many as the source has."""

    @classmethod
    def of_plan(cls, profile: TranscodingProfile) -> Profile:
        """Return a profile of the plan."""
        return cls((profile.width, profile.height), (profile.fps, profile.fps_denominator))

    @classmethod
    def named(cls, name: bytes) -> Profile:
        """Return the profile of a name: a preset's, or one that the gateway made of width and height."""
        if preset := _PRESET.fullmatch(name):
            height, rate, across, down = map(int, preset.groups())
            width = _WIDTHS.get((height, across, down)) or height * across // down
            return cls((width, height), (rate, 1)) if width and height and rate else cls()
        if unnamed := _UNNAMED.fullmatch(name):
            return cls((int(unnamed[1]), int(unnamed[2])))
        return cls()

    def frames(self, milliseconds: int) -> int:
        """Return the frames of that much video at the profile's own rate, rounded up; 0 where it has none."""
        rate, divisor = self.rate
        return -(-milliseconds * rate // (1000 * divisor))


@dataclass(frozen=True, slots=True)
class Rendition:
    """One rendition of the response, or of the plan."""

    profile: Profile
    name: bytes = b""
    body: ProbedBody | None = None
    """Its media, if the response holds them."""
    requested: bool = False
    """True if `profile` is what the plan requests, rather than what the gateway's own name for it says."""

    @property
    def measure(self) -> MediaMeasure:
        """What was measured of its media."""
        return self.body.measure if self.body else NOT_MEASURED


def scaled(profile: Size, source: Size) -> Size:
    """Return the size of a rendition, which keeps its source's aspect ratio (gateway contract section 10).

    The profile's width counts for landscape and square, its height for portrait; the other side follows and is even.
    """
    width, height = source
    if not (width and height and all(profile)):
        return profile
    if width >= height:
        return profile[0], _even(profile[0] * height, width)
    return _even(profile[1] * width, height), profile[1]


def divided(
    found: Sequence[Rendition], profiles: Sequence[TranscodingProfile]
) -> tuple[list[Rendition], list[Rendition]]:
    """Return the renditions that were requested, at most one for each profile and with it, and those beyond.

    A profile's is the first of its name, else one whose name is no profile's. Without profiles every rendition may have
    been requested: the gateway's own configuration is not known here.
    """
    if not profiles:
        return list(found), []
    named: dict[bytes, Rendition] = {}
    for rendition in found:
        named.setdefault(rendition.name, rendition)
    names = [profile.name.encode() for profile in profiles]
    taken = {id(named[name]) for name in names if name in named}
    others = [rendition for rendition in found if id(rendition) not in taken]
    requested = []
    for name, profile in zip(names, profiles, strict=True):
        mine = named.get(name) or (others.pop(0) if others else None)
        if mine is not None:
            requested.append(replace(mine, profile=Profile.of_plan(profile), requested=True))
    return requested, others


class RenditionsReader:
    """Reads a multipart response, one part per rendition (gateway contract section 1.5)."""

    __slots__ = ("_media", "_multipart", "_open", "found", "more")

    def __init__(self, boundary: bytes, media: ProbedBodies) -> None:
        """Renditions that the response holds are bodies of `media`."""
        self._multipart = MultipartReader(boundary)
        self._media = media
        self._open: ProbedBody | None = None
        """The rendition whose bytes pass now."""
        self.found: list[Rendition] = []
        self.more = False
        """True if parts came beyond `PARTS_KEPT`."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the response."""
        for piece in self._multipart.feed(chunk):
            if isinstance(piece, list):
                self._end()
                self._begin(piece)
            elif self._open is not None:
                self._open.write(piece)
        if self._multipart.complete:
            self._end()

    @property
    def complete(self) -> bool:
        """True if the response has come to its end and brought a rendition."""
        return self._multipart.complete and bool(self.found)

    def _begin(self, head: Headers) -> None:
        if len(self.found) == PARTS_KEPT:
            self.more = True
            return
        headers = dict(head)
        name = headers.get(b"rendition-name", b"")
        if headers.get(b"content-type", b"").lower().startswith(b"video/"):
            self._open = self._media.open(MediaKind.RENDITION)
        # The other kind of part holds the rendition's address in an object store. It is not fetched: whoever writes
        # the response would choose what Tollgate connects to.
        self.found.append(Rendition(Profile.named(name), name, self._open))

    def _end(self) -> None:
        if self._open is not None:
            self._open.end()
            self._open = None


def _even(dividend: int, divisor: int) -> int:
    """Return the nearest even number to a quotient, at least 2, as FFmpeg's `scale` does for a side of -2."""
    return max(2, 2 * ((dividend + divisor) // (2 * divisor)))
