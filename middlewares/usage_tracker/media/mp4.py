"""The duration of the video of an MP4 file (ISO/IEC 14496-12), read as it passes.

Boxes stream by; only the few that tell the time are kept, one at a time. So the movie header may stand at the end,
behind any amount of media data. The time is what a decoder goes by: the durations of the samples of the video track,
from its table of samples (`stts`) and from its fragments (`trun`). A file without samples lasts as long as the track's
media header says, else the movie's. Without a video track the longest other one counts.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field

BOX_BYTES = 256 * 1024
"""Longest box that is read, a table of 16,000 samples; the duration of a file with a longer one is not known."""

MOST_BOXES = 100_000
"""Most boxes that are read, as reading takes time; a fragment needs six."""

KINDS = frozenset((b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"free", b"skip", b"wide", b"emsg", b"prft"))
"""Boxes that a file can begin with."""

_CONTAINERS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf"))
_TRACKS_KEPT = 64
_HEADER_BYTES = 8
_LARGE_HEADER_BYTES = 16


@dataclass(slots=True)
class _Track:
    """One track of the movie; times are in its own `scale` per second."""

    scale: int = 0
    declared: int = 0
    """Duration of the media header."""
    duration: int = 0
    """Duration of all samples so far."""
    samples: int = 0
    video: bool = False
    size: tuple[int, int] = (0, 0)
    default_duration: int = 0
    """Duration of samples in fragments that give none."""


@dataclass(slots=True)
class Mp4:
    """Reads a file in chunks; keeps at most one box of `BOX_BYTES` and a few numbers for each track."""

    _kept: bytearray = field(default_factory=bytearray)
    _skip: int = 0
    """Bytes of an ignored box that are still to come."""
    _boxes: int = 0
    _over: bool = False
    """True if no box can follow: the last one has no end, or is no box."""
    _tracks: dict[int, _Track] = field(default_factory=dict)
    _movie: tuple[int, int] = (0, 0)
    """Scale and duration of the movie header."""
    _track: _Track = field(default_factory=_Track)
    """The track or fragment that the boxes belong to which pass now."""
    _sample_duration: int = 0
    """Duration of samples in this fragment that give none."""

    def feed(self, chunk: bytes) -> None:
        if self._over:
            return
        if self._skip >= len(chunk):
            self._skip -= len(chunk)
            return
        if self._skip:
            chunk = chunk[self._skip :]
            self._skip = 0
        kept = self._kept
        kept += chunk
        at = 0
        with memoryview(kept) as view:
            while not self._over and (size := self._box(view[at:])):
                at += size
                self._boxes += 1
        self._skip = max(0, at - len(kept))
        del kept[:at]
        if self._over:
            kept.clear()

    def frames(self) -> int:
        """Return the number of samples of the video; 0 if there is no video."""
        return max((track.samples for track in self._tracks.values() if track.video), default=0)

    def size(self) -> tuple[int, int]:
        """Return width and height of the video in pixels; zeros if they are not given."""
        return max((track.size for track in self._tracks.values() if track.video), default=(0, 0))

    def milliseconds(self) -> int | None:
        """Return the duration of the video, rounded; None if it is not known."""
        for video in (True, False):
            lengths = [
                _milliseconds(track.duration or track.declared, track.scale)
                for track in self._tracks.values()
                if track.video is video
            ]
            if any(lengths):
                return max(lengths)
        return _milliseconds(self._movie[1], self._movie[0]) or None

    def _box(self, view: memoryview) -> int:
        """Read the box that begins here. Return the bytes to go on, 0 if more of them have to come first."""
        header = _LARGE_HEADER_BYTES if bytes(view[:4]) == b"\0\0\0\1" else _HEADER_BYTES
        if len(view) < header:
            return 0
        size, kind = int.from_bytes(view[8:16] if header == _LARGE_HEADER_BYTES else view[:4]), bytes(view[4:8])
        if kind in _CONTAINERS and self._boxes <= MOST_BOXES:  # what is in it follows
            if kind in (b"trak", b"traf"):
                self._track, self._sample_duration = _Track(), 0
            return header
        read = _READERS.get(kind)
        if size < header or (read and size > BOX_BYTES) or self._boxes > MOST_BOXES:
            self._give_up(known=size < header)
            return 0
        if read is None:
            return size
        if len(view) < size:
            return 0
        with contextlib.suppress(struct.error, IndexError):  # it is shorter than what must be in it
            read(self, bytes(view[header:size]))
        return size

    def _give_up(self, *, known: bool) -> None:
        """Read nothing from here on; forget what was read unless it is `known` to be right."""
        self._over = True
        if not known:
            self._movie = (0, 0)
            self._tracks.clear()

    def _mvhd(self, box: bytes) -> None:
        self._movie = _clock(box)

    def _tkhd(self, box: bytes) -> None:
        (number,) = struct.unpack_from(">I", box, 20 if box[0] == 1 else 12)
        if len(self._tracks) < _TRACKS_KEPT:
            self._track = self._tracks.setdefault(number, self._track)

    def _mdhd(self, box: bytes) -> None:
        self._track.scale, self._track.declared = _clock(box)

    def _hdlr(self, box: bytes) -> None:
        self._track.video = box[8:12] == b"vide"

    def _stsd(self, box: bytes) -> None:
        """Read width and height, which are at the same place of every visual sample entry (section 12.1.3)."""
        if self._track.video:
            self._track.size = struct.unpack_from(">HH", box, 40)

    def _stts(self, box: bytes) -> None:
        (entries,) = struct.unpack_from(">I", box, 4)
        for count, delta in struct.iter_unpack(">II", box[8 : 8 + 8 * min(entries, (len(box) - 8) // 8)]):
            self._track.samples += count
            self._track.duration += count * delta

    def _trex(self, box: bytes) -> None:
        number, _, duration = struct.unpack_from(">III", box, 4)
        if number in self._tracks:
            self._tracks[number].default_duration = duration

    def _tfhd(self, box: bytes) -> None:
        flags, number = struct.unpack_from(">II", box)
        self._track = self._tracks.get(number, self._track)
        self._sample_duration = self._track.default_duration
        if flags & 0x8:
            at = 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
            (self._sample_duration,) = struct.unpack_from(">I", box, at)

    def _trun(self, box: bytes) -> None:
        flags, count = struct.unpack_from(">II", box)
        at = 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
        fields = (flags >> 8 & 0xF).bit_count()
        if flags & 0x100:
            count = min(count, (len(box) - at) // (4 * fields))
            samples = struct.iter_unpack(f">I{4 * fields - 4}x", box[at : at + count * 4 * fields])
            self._track.duration += sum(duration for (duration,) in samples)
        else:
            self._track.duration += count * self._sample_duration
        self._track.samples += count


_READERS = {
    b"mvhd": Mp4._mvhd,
    b"tkhd": Mp4._tkhd,
    b"mdhd": Mp4._mdhd,
    b"hdlr": Mp4._hdlr,
    b"stsd": Mp4._stsd,
    b"stts": Mp4._stts,
    b"trex": Mp4._trex,
    b"tfhd": Mp4._tfhd,
    b"trun": Mp4._trun,
}


def _clock(box: bytes) -> tuple[int, int]:
    """Return scale and duration of a movie or media header; a duration of all ones is unknown."""
    if box[0] == 1:
        scale, duration = struct.unpack_from(">IQ", box, 20)
        return scale, 0 if duration == 2**64 - 1 else duration
    scale, duration = struct.unpack_from(">II", box, 12)
    return scale, 0 if duration == 2**32 - 1 else duration


def _milliseconds(duration: int, scale: int) -> int:
    return (duration * 1000 + scale // 2) // scale if scale else 0
