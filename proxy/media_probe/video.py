"""How long a video segment is: the longest of its frames at their rate and the span of its time stamps.

Frames are work, and are counted by FFmpeg's demuxers and parsers without decoding; time stamps and rates are the
client's words. So a rate is believed only where cameras and games have it, the bitstream's own before that of the time
stamps.
"""

from __future__ import annotations

from array import array
from fractions import Fraction
from itertools import pairwise
from typing import Any, cast

import av
import av.stream
from av.bitstream import BitStreamFilterContext

from proxy.media_probe.budget import Budget
from proxy.media_probe.container import MediaBody, claimed_milliseconds, open_container
from proxy.media_probe.sound import decodable, packets

FASTEST = 120
"""Frames per second above which no rate is believed."""
UNKNOWN_RATE = 30
"""Frames per second where neither the bitstream nor the time stamps say a rate that can be believed."""
SLOWEST_DECLARED = 10
"""Frames per second below which the bitstream's own rate is not believed, for encoders write odd ones there."""
JUMP_SECONDS = 10
"""A step of the time stamps beyond this is an edit, as ffmpeg's `-dts_delta_threshold` has it, not a long frame."""
SIZE_ATTEMPTS = 30
"""Packets that are decoded in search of a first frame, which knows its size."""


class Track:
    """Coded frames and time stamps of one video track."""

    def __init__(self, stream: av.VideoStream, *, parsed: bool) -> None:
        """`parsed` is True if the demuxer cut the bitstream itself, so that a packet is one access unit."""
        context = stream.codec_context
        context.thread_count = 1
        self._base = stream.time_base or Fraction(0)
        self._rate = _believed_rate(context.framerate, stream.average_rate)
        self._size = (context.width, context.height)
        self._stamps = array("q")
        self._packets = 0
        self._attempts = 0
        self._units = None if parsed else AccessUnits.of(stream)
        self._decoded: int | None = None
        """Frames that were decoded, where fields may come in packets of their own; None where a packet is a frame."""
        self._sized = False
        """True once a frame was decoded, which knows its size better than the container."""

    def add(self, packet: av.Packet[av.VideoStream]) -> None:
        """Count one packet; an empty one ends the track."""
        if packet.size:
            self._packets += 1
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None:
                self._stamps.append(stamp)
        if self._decoded is not None or (not self._sized and self._attempts < SIZE_ATTEMPTS):
            self._decode(packet)
        if self._units is not None and self._decoded is None:
            self._units.add(packet)

    def _decode(self, packet: av.Packet[av.VideoStream]) -> None:
        self._attempts += 1
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            return
        if frames and not self._sized:
            self._sized = True
            self._size = (frames[0].width, frames[0].height)
            if frames[0].interlaced_frame:
                self._decoded = 0
        if self._decoded is not None:
            self._decoded += len(frames)

    @property
    def frames(self) -> int:
        """Coded frames so far; two fields are one frame."""
        if self._decoded is not None:
            return max(self._decoded, self._packets // 2)
        return max(self._packets, self._units.count if self._units else 0)

    def span(self) -> Fraction:
        """Return the seconds from the first time stamp to the last, without jumps, plus one frame for each run."""
        base = self._base
        if not base or not self._stamps:
            return Fraction(0)
        stamps = sorted(self._stamps)
        longest = JUMP_SECONDS / base
        ticks, runs = stamps[-1] - stamps[0], 1
        for before, after in pairwise(stamps):
            if after - before > longest:
                ticks -= after - before
                runs += 1
        return ticks * base + runs / self._rate

    def facts(self) -> dict[str, Any]:
        """Return the fields of a `VideoTrack`."""
        span = self.span()
        width, height = self._size
        return {
            "frames": self.frames,
            "frames_per_second": float(self._rate),
            "span_milliseconds": _milliseconds(span),
            "milliseconds": _milliseconds(max(span, self.frames / self._rate)),
            "width": width,
            "height": height,
        }


class AccessUnits:
    """Counts access units in packets that a container cut, for it may have put several into one."""

    def __init__(self, stream: av.VideoStream, filter_name: str) -> None:
        self._filter = BitStreamFilterContext(filter_name, stream)
        self._parser = av.CodecContext.create(stream.codec_context.name, "r")
        self.count = 0

    @classmethod
    def of(cls, stream: av.VideoStream) -> AccessUnits | None:
        """Return a counter for `stream`; None for codecs whose packets need none, or a header that is broken."""
        filter_name = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}.get(stream.codec_context.name)
        try:
            return cls(stream, filter_name) if filter_name else None
        except (av.FFmpegError, ValueError):
            return None

    def add(self, packet: av.Packet[av.VideoStream]) -> None:
        """Count the access units that are complete with this packet; an empty one completes the last."""
        try:
            if packet.size:
                for part in self._filter.filter(_copy(packet)):
                    self.count += len(self._parser.parse(bytes(part)))
            else:
                self.count += len(self._parser.parse(None))
        except (av.FFmpegError, ValueError):
            return


class Segment:
    """The video tracks of one body, while they are measured."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}
        self._played: dict[int, Track] = {}
        self.audio_tracks = 0

    def measure(self, file: MediaBody, budget: Budget) -> None:
        """Count every video frame of `file`. Raises `OutOfBudget`, and `av.FFmpegError` where it cannot be opened.

        In an MP4 file an edit list can hide frames, and play some of them many times; both ways are counted.
        """
        for options, tracks in (({"ignore_editlist": "1"}, self._tracks), ({}, self._played)):
            with open_container(file, **options) as container:
                budget.note(claimed_milliseconds=claimed_milliseconds(container))
                formats = container.format.name
                self.audio_tracks = len(container.streams.audio)
                streams = [stream for stream in decodable(container.streams.video) if not _is_cover(stream)]
                for stream in streams:
                    tracks[stream.index] = Track(stream, parsed="mpeg" in formats)
                for packet in packets(container, streams):
                    if not packet.is_discard:
                        tracks[packet.stream.index].add(packet)
                    budget.check(self.so_far)
            if "mov" not in formats:
                break

    @property
    def readable(self) -> bool:
        """True if there is a frame of video."""
        return any(track.frames for track in self._tracks.values())

    def so_far(self) -> dict[str, Any]:
        """Return what was counted until now."""
        video = []
        for index, track in self._tracks.items():
            played = self._played.get(index, track)
            facts = [track.facts(), played.facts()]
            video.append(max(facts, key=lambda found: (found["milliseconds"], found["frames"])))
        length = max((track["milliseconds"] for track in video), default=0)
        return {"milliseconds": length, "audio_tracks": self.audio_tracks, "video": video}


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _believed_rate(declared: Fraction | None, average: Fraction | None) -> Fraction:
    """Return frames per second as the bitstream declares them, else as the time stamps do, else `UNKNOWN_RATE`."""
    if declared and SLOWEST_DECLARED <= declared <= FASTEST:
        return declared
    return average if average and 0 < average <= FASTEST else Fraction(UNKNOWN_RATE)


def _milliseconds(seconds: Fraction) -> int:
    return -(-seconds.numerator * 1000 // seconds.denominator)


def _copy(packet: av.Packet[av.VideoStream]) -> av.Packet[av.VideoStream]:
    """Return a packet of the same bytes, for a filter takes over the one it is given."""
    copy = cast("av.Packet[av.VideoStream]", av.Packet(bytes(packet)))
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    return copy
