"""The port to the media probe: what an upload or a rendition holds, measured by FFmpeg outside the worker.

The usage tracker writes a body into a `Spool` while it passes, and at settlement, in the background, hands the spool to
a `MediaProbe`. Neither ever raises for what a client sent; where nothing could be measured, the caller estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

LEAST_BYTES_PER_SECOND = 100
"""No sound and no video takes fewer bytes; a claim beyond is not one of a file of that size but a slip or a joke."""


class MediaKind(StrEnum):
    """What a body is expected to be, which decides what is measured of it."""

    AUDIO = "audio"
    """A sound: the length of its longest audio track."""
    SEGMENT = "segment"
    """A video segment as a client pushes it: frames, rate, span and size of each video track."""
    RENDITION = "rendition"
    """A video segment as a gateway returns it; measured as a segment is."""


class Verdict(StrEnum):
    """How far a measurement may be relied on."""

    MEASURED = "measured"
    """Every frame was counted."""
    GAVE_UP = "gave_up"
    """A limit ended the work: `milliseconds` is a lower bound, what had been counted until then."""
    UNREADABLE = "unreadable"
    """FFmpeg finds nothing to decode in it, in any container that gateways take. A gateway decodes with FFmpeg, too,
    and refuses it; where it succeeds all the same, the caller estimates."""
    NOT_MEASURED = "not_measured"
    """The probe was busy, broken or not given the body. It says nothing about the body."""


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """One video track of a segment, counted by its coded frames."""

    frames: int
    frames_per_second: float
    """Declared by the stream itself where that is believable, else by its time stamps."""
    span_milliseconds: int
    """First to last presentation time stamp plus one frame; jumps of more than ten seconds are left out."""
    milliseconds: int
    """The longer of the frames at their rate and the span."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class MediaMeasure:
    """What one body holds. Lengths are in milliseconds, rounded up."""

    verdict: Verdict
    milliseconds: int = 0
    """Length of the longest track, from its frames: what is sold."""
    container_milliseconds: int | None = None
    """Duration that FFmpeg reads from the container alone, without seeking, as go-livepeer does (gateway contract
    section 6.2); None where it finds none. The client can write there what it likes: for `network_units` only."""
    video: tuple[VideoTrack, ...] = ()
    audio_tracks: int = 0
    claimed_milliseconds: int | None = None
    """The container's duration as a reader finds it that can seek, as of Ogg: held against what was not counted."""

    @property
    def reliable(self) -> bool:
        """True if `milliseconds` is exact, so that its provenance is `measured`."""
        return self.verdict is Verdict.MEASURED

    @property
    def gave_up(self) -> bool:
        """True if the body took more work than one may."""
        return self.verdict is Verdict.GAVE_UP

    def milliseconds_held_against(self, size: int) -> int:
        """Return what a body of `size` bytes lasts at least: what was counted, or what it says of itself if that is
        not all. Else a file that is made to be slow would cost its client less than it says.
        """
        if not self.gave_up:
            return self.milliseconds
        claimed = min(self.claimed_milliseconds or 0, size * 1000 // LEAST_BYTES_PER_SECOND)
        return max(self.milliseconds, claimed)


class Spool(Protocol):
    """A copy of one body that is kept until it is measured."""

    @property
    def kept(self) -> bool:
        """False once a byte could not be kept: the body is then not to be measured but estimated."""

    @property
    def size(self) -> int:
        """Bytes written so far, whether they were kept or not."""

    def write(self, data: bytes) -> None:
        """Keep `data`. Returns at once and never raises."""

    async def contents(self) -> bytes | int | None:
        """Return the body, or the descriptor of a file that holds it until `close`; None if it was not kept."""

    def close(self) -> None:
        """Free everything, in any state and any number of times."""


class Spools(Protocol):
    """Makes spools, and bounds what all of them keep together."""

    def open(self) -> Spool:
        """Return an empty spool."""


class MediaProbe(Protocol):
    """Measures what spools hold."""

    async def measure(self, kind: MediaKind, spool: Spool) -> MediaMeasure:
        """Return what the body in `spool` holds. Never raises for the body's sake; leaves the spool open."""


@dataclass(frozen=True, slots=True)
class MediaTools:
    """What a meter of media needs of the rest of the house."""

    spools: Spools
    probe: MediaProbe
