"""Renditions in the response to a pushed segment, and the size of each one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from config.transcoding import TranscodingProfile
from middlewares.exchange import Headers
from middlewares.usage_tracker.media.mp4 import KINDS, Mp4
from middlewares.usage_tracker.media.mpegts import TransportStream
from middlewares.usage_tracker.media.multipart import MultipartReader

PARTS_KEPT = 32
"""Most renditions counted of one segment; no gateway makes more."""

_PRESET = re.compile(rb"P(\d{3,4})p(\d{2,3})fps(\d{1,2})x([1-9]\d?)")
"""Names of presets: height, frame rate and aspect ratio."""
_UNNAMED = re.compile(rb"webhook_(\d{2,4})x(\d{2,4})_\d+")
"""Names that the gateway gives to profiles without one."""
_WIDTHS = {(240, 16, 9): 426}
"""Widths of presets whose aspect ratio gives no even number."""


class Media:
    """A piece of MP4 or MPEG-TS, told apart by its first bytes, whatever its sender calls it."""

    __slots__ = ("_head", "_reader")

    def __init__(self) -> None:
        self._head = b""
        self._reader: Mp4 | TransportStream | None = None

    def feed(self, chunk: bytes) -> None:
        if self._reader is None:
            self._head += chunk
            if len(self._head) < 8:
                return
            self._reader = Mp4() if self._head[4:8] in KINDS else TransportStream()
            chunk, self._head = self._head, b""
        self._reader.feed(chunk)

    def milliseconds(self) -> int | None:
        """Return its duration in milliseconds; None if it cannot be read."""
        return self._reader.milliseconds() if self._reader else None

    def frames(self) -> int:
        """Return the number of frames of its video; 0 if it cannot be read."""
        return self._reader.frames() if self._reader else 0

    def size(self) -> tuple[int, int]:
        """Return width and height of its video in pixels; zeros if they cannot be read."""
        return self._reader.size() if self._reader else (0, 0)


@dataclass(slots=True)
class Rendition:
    """One rendition of the response, or of the plan; zeros stand for what is not known."""

    width: int = 0
    height: int = 0
    rate: tuple[int, int] = (0, 1)
    """Frames per second, as numerator and denominator."""
    media: Media = field(default_factory=Media)

    @classmethod
    def of_profile(cls, profile: TranscodingProfile) -> Rendition:
        return cls(profile.width, profile.height, (profile.fps, profile.fps_denominator))

    @classmethod
    def named(cls, name: bytes, profiles: Sequence[TranscodingProfile]) -> Rendition:
        """Return the rendition of a name: a profile's, a preset's, or one that the gateway made of width and height."""
        for profile in profiles:
            if profile.name.encode() == name:
                return cls.of_profile(profile)
        if preset := _PRESET.fullmatch(name):
            height, rate, across, down = map(int, preset.groups())
            width = _WIDTHS.get((height, across, down)) or height * across // down
            return cls(width, height, (rate, 1))
        if unnamed := _UNNAMED.fullmatch(name):
            return cls(int(unnamed[1]), int(unnamed[2]))
        return cls()


class RenditionsReader:
    """Reads a multipart response, one part per rendition (gateway contract section 1.5)."""

    __slots__ = ("_enclosed", "_multipart", "_profiles", "found")

    def __init__(self, boundary: bytes, profiles: Sequence[TranscodingProfile]) -> None:
        self._multipart = MultipartReader(boundary)
        self._profiles = profiles
        self._enclosed = False
        self.found: list[Rendition] = []

    def feed(self, chunk: bytes) -> None:
        for piece in self._multipart.feed(chunk):
            if isinstance(piece, list):
                self._begin(piece)
            elif self._enclosed:
                self.found[-1].media.feed(piece)

    def _begin(self, head: Headers) -> None:
        self._enclosed = False
        if len(self.found) == PARTS_KEPT:
            return
        headers = dict(head)
        self.found.append(Rendition.named(headers.get(b"rendition-name", b""), self._profiles))
        # The other kind of part holds the rendition's address in an object store.
        self._enclosed = headers.get(b"content-type", b"").lower().startswith(b"video/")

    @property
    def complete(self) -> bool:
        """True if the response has come to its end and brought a rendition."""
        return self._multipart.complete and bool(self.found)
