"""The duration of the video of an MPEG transport stream (ISO/IEC 13818-1), read as it passes.

The time is the span of the presentation time stamps of the video, plus one frame, because a stamp says when a frame
begins. Frames that are stored out of order only widen the span; stamps that wrap at 33 bits are taken modulo 2^33. A
jump of more than ten seconds is an edit, not a frame that is shown for so long: the spans on both sides are added.

A video stream is one that the programme map says is video, or one whose packets carry a video stream id. Without any,
the longest other stream counts.
"""

from __future__ import annotations

from middlewares.usage_tracker.media.h264 import picture_size

PACKET = 188
SYNC = 0x47
CLOCK = 90_000
"""Ticks of a time stamp in one second."""

_WRAP = 1 << 33
_EDIT = 10 * CLOCK
_START_BYTES = 14
"""Bytes of a PES packet as far as the presentation time stamp (section 2.4.3.6)."""
_SECTION_BYTES = 3 + 1021
_PIDS_KEPT = 64
"""Most elementary streams, and programmes, that are followed."""
_VIDEO_TYPES = frozenset((0x01, 0x02, 0x10, 0x1B, 0x1E, 0x20, 0x21, 0x24, 0x33, 0x42, 0xD1, 0xEA))
"""Stream types of a programme map that are video (table 2-34, and those in common use beside it)."""


class _Track:
    """The time stamps of one elementary stream."""

    __slots__ = ("_between", "_ends", "_first", "_high", "_last", "_low", "_spans", "frames", "head", "video")

    def __init__(self, head: bytes, *, video: bool) -> None:
        self.head = head
        """The first packet's payload."""
        self.video = video
        self.frames = 0
        self._first = self._low = self._high = 0
        self._spans = 0
        """Ticks of the runs that an edit has ended."""
        self._ends = self._between = self._last = 0
        """Weight of the packets that end a run, of all others, and of the one that came last."""

    def add(self, stamp: int, weight: int) -> None:
        """Add a packet whose duration is in proportion to `weight`."""
        self.frames += 1
        offset = (stamp - self._first) % _WRAP
        if offset >= _WRAP // 2:
            offset -= _WRAP
        if self._last and self._low - _EDIT <= offset <= self._high + _EDIT:
            self._low = min(self._low, offset)
            self._high = max(self._high, offset)
            self._between += self._last
        else:
            self._spans += self._high - self._low
            self._ends += self._last
            self._first, self._low, self._high = stamp, 0, 0
        self._last = weight

    def ticks(self) -> int | None:
        """Return the ticks from the first packet to the end of the last; None if there are too few to know."""
        span = self._spans + self._high - self._low
        if not span or not self._between:
            return None
        return span + -(-span * (self._ends + self._last) // self._between)


class TransportStream:
    """Reads a stream in chunks; keeps less than two packets and some hundred bytes for each elementary stream."""

    __slots__ = ("_maps", "_open", "_rest", "_synced", "_tracks", "_types")

    def __init__(self) -> None:
        self._rest = b""
        self._synced = False
        self._tracks: dict[int, _Track] = {}
        self._types: dict[int, bool] = {}
        """PIDs of elementary streams in programme maps, with True for video."""
        self._maps: set[int] = set()
        """PIDs on which programme maps are sent."""
        self._open: dict[int, bytearray] = {}
        """The beginnings of sections and PES packets that go on in the next packet of their PID."""

    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk if self._rest else chunk
        at = 0
        while True:
            if not self._synced:
                at = _sync(data, at)
                self._synced = data[at + PACKET : at + PACKET + 1] == b"G"
            if not self._synced:
                break
            at = self._packets(data, at)
            if len(data) - at < PACKET:
                break
            self._synced = False  # what stands where a packet should begin is none
        self._rest = data[at:]

    def frames(self) -> int:
        """Return the number of time-stamped frames of the video; 0 if there is no video."""
        return max((track.frames for track in self._tracks.values() if track.video), default=0)

    def size(self) -> tuple[int, int]:
        """Return width and height of the video in pixels; zeros if it is not H.264 or does not begin with its size."""
        return max((picture_size(track.head) for track in self._tracks.values() if track.video), default=(0, 0))

    def milliseconds(self) -> int | None:
        """Return the duration of the video, rounded; None if it is not known."""
        for video in (True, False):
            lengths = [track.ticks() for track in self._tracks.values() if track.video is video]
            known = [ticks for ticks in lengths if ticks is not None]
            if known:
                return (max(known) * 1000 + CLOCK // 2) // CLOCK
        return None

    def _packets(self, data: bytes, at: int) -> int:
        """Read whole packets from `at` on. Return where the first one begins that is cut, or is none."""
        whole = (len(data) - at) // PACKET
        end = at + whole * PACKET
        starts = data[at:end:PACKET]
        good = whole - len(starts.lstrip(b"G"))
        for number, flags in enumerate(data[at + 1 : at + good * PACKET : PACKET]):
            if flags & 0x40 or self._open:  # a payload begins here, or one goes on
                self._packet(data, at + number * PACKET)
        return at + good * PACKET

    def _packet(self, data: bytes, at: int) -> None:
        second, third, fourth = data[at + 1 : at + 4]
        if second & 0x80 or fourth & 0xC0 or not fourth & 0x10:  # damaged, scrambled, or without payload
            return
        start = at + 4 + (1 + data[at + 4] if fourth & 0x20 else 0)
        pid = (second & 0x1F) << 8 | third
        payload = data[start : at + PACKET]
        begins = bool(second & 0x40)
        if pid == 0 or pid in self._maps:
            self._section(pid, payload, begins=begins)
        else:
            self._elementary(pid, payload, begins=begins)

    def _section(self, pid: int, payload: bytes, *, begins: bool) -> None:
        """Read a part of a programme table: sections follow a pointer to the first that begins in this packet."""
        if begins:
            pointer = payload[0] if payload else 0
            if pid in self._open:
                self._section(pid, payload[1 : 1 + pointer], begins=False)
            self._open[pid] = bytearray(payload[1 + pointer :])
        elif pid in self._open:
            self._open[pid] += payload
        else:
            return
        section = self._open[pid]
        length = 3 + ((section[1] & 0x0F) << 8 | section[2]) if len(section) >= 3 else _SECTION_BYTES
        if len(section) < min(length, _SECTION_BYTES):
            return
        del self._open[pid]
        if length <= _SECTION_BYTES:
            self._table(pid, bytes(section[:length]))

    def _table(self, pid: int, section: bytes) -> None:
        if pid == 0 and section[0] == 0x00:
            for at in range(8, len(section) - 7, 4):  # a CRC ends the section
                if section[at : at + 2] != b"\0\0" and len(self._maps) < _PIDS_KEPT:
                    self._maps.add((section[at + 2] & 0x1F) << 8 | section[at + 3])
            self._maps.discard(0)
        elif pid and section[0] == 0x02 and len(section) >= 12:
            at = 12 + ((section[10] & 0x0F) << 8 | section[11])
            while at + 5 <= len(section) - 4 and len(self._types) < _PIDS_KEPT:
                stream = (section[at + 1] & 0x1F) << 8 | section[at + 2]
                self._types[stream] = section[at] in _VIDEO_TYPES
                if stream in self._tracks:
                    self._tracks[stream].video |= self._types[stream]
                at += 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])

    def _elementary(self, pid: int, payload: bytes, *, begins: bool) -> None:
        """Read a part of a PES packet, of which only the start matters."""
        if begins:
            start = bytearray(payload[:_START_BYTES])
        elif pid in self._open:
            start = self._open.pop(pid)
            start += payload[: _START_BYTES - len(start)]
        else:
            return
        self._open.pop(pid, None)
        if len(start) >= _START_BYTES:
            self._pes(pid, start, payload)
        elif len(self._open) < 2 * _PIDS_KEPT and start == b"\0\0\1"[: len(start)] + start[3:]:
            self._open[pid] = start

    def _pes(self, pid: int, start: bytearray, payload: bytes) -> None:
        stamped = start[:3] == b"\0\0\1" and start[6] & 0xC0 == 0x80 and start[7] & 0x80
        if not stamped or not (start[9] & start[11] & start[13] & 1):
            return
        track = self._tracks.get(pid)
        if track is None:
            if len(self._tracks) == _PIDS_KEPT:
                return
            video = self._types.get(pid, False) or start[3] & 0xF0 == 0xE0
            track = self._tracks[pid] = _Track(payload, video=video)
        first, second, third = start[9] >> 1 & 0x07, start[10] << 7 | start[11] >> 1, start[12] << 7 | start[13] >> 1
        # A packet of video is a frame; one of sound holds as many as fit.
        weight = 1 if track.video else max(1, start[4] << 8 | start[5])
        track.add(first << 30 | second << 15 | third, weight)


def _sync(data: bytes, at: int) -> int:
    """Return where packets may begin: at a sync byte with another one a packet later, or too near the end to know."""
    while True:
        at = data.find(b"G", at)
        if at < 0:
            return len(data)
        if data[at + PACKET : at + PACKET + 1] in (b"G", b""):
            return at
        at += 1
