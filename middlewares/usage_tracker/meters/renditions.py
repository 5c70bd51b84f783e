"""What a push brings back: the renditions of a segment, and how large each one is."""

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
"""No gateway makes more renditions of one segment; further parts are not counted."""

_PRESET = re.compile(rb"P(\d{3,4})p(\d{2,3})fps(\d{1,2})x([1-9]\d?)")
"""Presets are named by height, rate and aspect ratio."""
_UNNAMED = re.compile(rb"webhook_(\d{2,4})x(\d{2,4})_\d+")
"""What the gateway calls a profile without a name."""
_WIDTHS = {(240, 16, 9): 426}
"""Where the aspect ratio gives no even number."""


class Media:
    """A piece of media of either kind, known by its first bytes, whatever its sender calls it."""

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
        """How long it lasts; None where that cannot be read."""
        return self._reader.milliseconds() if self._reader else None

    def frames(self) -> int:
        """Frames of its video; 0 where that cannot be read."""
        return self._reader.frames() if self._reader else 0

    def size(self) -> tuple[int, int]:
        """Width and height of its video in pixels; zeros where they cannot be read."""
        return self._reader.size() if self._reader else (0, 0)


@dataclass(slots=True)
class Rendition:
    """One rendition of the answer, or of the plan; zeros stand for what is not known."""

    width: int = 0
    height: int = 0
    rate: tuple[int, int] = (0, 1)
    """Frames per second, and what they are divided by."""
    media: Media = field(default_factory=Media)

    @classmethod
    def of_profile(cls, profile: TranscodingProfile) -> Rendition:
        return cls(profile.width, profile.height, (profile.fps, profile.fps_denominator))

    @classmethod
    def named(cls, name: bytes, profiles: Sequence[TranscodingProfile]) -> Rendition:
        """What a name says: a profile's, a preset's, or one that the gateway made of width and height."""
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
    """The parts of a multipart answer, one per rendition (gateway contract section 1.5)."""

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
        fields = dict(head)
        self.found.append(Rendition.named(fields.get(b"rendition-name", b""), self._profiles))
        # The other kind of part holds the rendition's address in an object store.
        self._enclosed = fields.get(b"content-type", b"").lower().startswith(b"video/")

    @property
    def complete(self) -> bool:
        """The answer has come to its end and brought something."""
        return self._multipart.complete and bool(self.found)
