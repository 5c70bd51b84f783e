"""How long a sound is: what its frames hold, of its longest track.

Every audio packet is decoded and its samples are counted at the rate that the decoder found. No clock of the container
counts: durations, time scales, granule positions and sample tables are what the client wrote there. Decoding an hour
takes two to four seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import av
import av.container

from proxy.media_probe.budget import Budget
from proxy.media_probe.container import MediaBody, claimed_milliseconds, open_container

StreamT = TypeVar("StreamT", av.AudioStream, av.VideoStream)

_SKIP_MANUAL = 1 << 29
"""AV_CODEC_FLAG2_SKIP_MANUAL: samples that the container says to skip are decoded all the same."""

_ONE_FRAME_A_PACKET = frozenset(
    (
        "aac",
        "aac_latm",
        "ac3",
        "alac",
        "amr_nb",
        "amr_wb",
        "amrnb",
        "amrwb",
        "eac3",
        "flac",
        "mp1",
        "mp2",
        "mp3",
        "opus",
    )
)
"""Codecs whose frames all last the same time in practice, one in a packet."""


class SoundTrack:
    """Samples of one audio track, by the rate they were decoded at."""

    def __init__(self, stream: av.AudioStream) -> None:
        context = stream.codec_context
        context.thread_count = 1
        context.flags2 |= _SKIP_MANUAL
        self._context = context
        self._regular = context.codec.canonical_name in _ONE_FRAME_A_PACKET
        self._samples: Counter[int] = Counter()
        self._last = (context.frame_size or 0, context.sample_rate or 0)
        self.packets = 0
        self._frames = self._frame_bytes = 0
        self._mute = self._mute_bytes = 0
        """Packets between others that nothing was decoded from."""
        self._pending = self._pending_bytes = 0
        """The same, as long as no other packet has followed: junk before and behind the frames ends here."""

    def add(self, packet: av.Packet[av.AudioStream]) -> None:
        """Count one packet; an empty one ends the track."""
        size = packet.size
        self.packets += size > 0
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError):
            frames = []
        for frame in frames:
            self._samples[frame.sample_rate] += frame.samples
        if frames:
            self._last = (frames[-1].samples, frames[-1].sample_rate)
            if self._frames:
                self._mute += self._pending
                self._mute_bytes += self._pending_bytes
            self._pending = self._pending_bytes = 0
            self._frames += len(frames)
            self._frame_bytes += size
        elif size:
            self._pending += 1
            self._pending_bytes += size

    @property
    def decoded(self) -> bool:
        """True if at least one sample was decoded."""
        return bool(self._samples)

    def milliseconds(self) -> int:
        """Return the length, rounded up.

        Where a codec has one frame in a packet, a packet that does not decode though others before and behind it do
        (its bit reservoir is missing, a byte fell) counts as they do, and by its bytes where it is longer than they.
        """
        length = sum(-(-samples * 1000 // rate) for rate, samples in self._samples.items() if rate > 0)
        samples, rate = self._last
        if self._regular and self._frames and rate > 0:
            mute = max(self._mute, self._mute_bytes * self._frames // max(1, self._frame_bytes))
            length += -(-mute * samples * 1000 // rate)
        return length


class Sound:
    """The audio tracks of one body, while they are measured."""

    def __init__(self) -> None:
        self._tracks: dict[int, SoundTrack] = {}
        self._repeats: dict[int, int] = {}

    def measure(self, file: MediaBody, budget: Budget) -> None:
        """Count every audio frame of `file`. Raises `OutOfBudget`, and `av.FFmpegError` where it cannot be opened."""
        with open_container(file, ignore_editlist="1") as container:
            budget.note(claimed_milliseconds=claimed_milliseconds(container))
            streams = decodable(container.streams.audio)
            self._tracks = {stream.index: SoundTrack(stream) for stream in streams}
            for packet in packets(container, streams):
                self._tracks[packet.stream.index].add(packet)
                budget.check(self.so_far)
            edited = "mov" in container.format.name
        if edited:
            self._count_repeats(file, budget)

    def _count_repeats(self, file: MediaBody, budget: Budget) -> None:
        """Count packets as an edit list plays them: it can hide what is there, which counts, and play it many times."""
        with open_container(file) as container:
            for packet in packets(container, decodable(container.streams.audio)):
                if packet.size and not packet.is_discard:
                    index = packet.stream.index
                    self._repeats[index] = self._repeats.get(index, 0) + 1
                budget.check(self.so_far)

    @property
    def readable(self) -> bool:
        """True if a frame of any track was decoded."""
        return any(track.decoded for track in self._tracks.values())

    def milliseconds(self) -> int:
        """Return the length of the longest track so far."""
        longest = 0
        for index, track in self._tracks.items():
            length = track.milliseconds()
            played = self._repeats.get(index, 0)
            if played > track.packets > 0:
                length = -(-length * played // track.packets)
            longest = max(longest, length)
        return longest

    def so_far(self) -> dict[str, Any]:
        """Return what was counted until now."""
        return {"milliseconds": self.milliseconds(), "audio_tracks": len(self._tracks)}


def decodable(streams: Iterable[StreamT]) -> list[StreamT]:
    """Return the streams that FFmpeg has a decoder for."""
    return [stream for stream in streams if stream.codec_context is not None]


def packets(container: av.container.InputContainer, streams: list[Any]) -> Iterator[av.Packet[Any]]:
    """Yield the packets of `streams` as far as the container is whole, and at its end an empty one for each stream."""
    if not streams:
        return
    try:
        yield from container.demux(*streams)
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        return
