"""Ogg with Opus, Vorbis, FLAC or Speex: the last page holds the number of samples (RFC 3533 section 6)."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.peek import TO_END, File, Steps

HEADER = 64
"""Bytes of a first packet that are read."""
TAIL_BYTES = 65_536
"""Bytes kept of the end of the file: a page has at most 65,307."""


LARGEST_SECOND = 250_000
"""Most bytes of a second of Opus, Vorbis or Speex: a file that is larger for its length is not believed."""


class _Codec(NamedTuple):
    rate: int
    skip: int = 0
    """Samples at the start that are not played."""
    largest_second: int = LARGEST_SECOND


class _Tail:
    """The last `TAIL_BYTES` of what it is fed; it keeps up to twice as much, so as not to move them for each chunk."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def feed(self, chunk: bytes) -> None:
        self.kept += chunk[-TAIL_BYTES:]
        if len(self.kept) > 2 * TAIL_BYTES:
            del self.kept[:-TAIL_BYTES]


def ogg(file: File) -> Steps[Length | None]:
    """Read what follows `OggS`. Several streams, multiplexed or chained, are not supported."""
    head = yield 23
    segments = yield head[22]
    packet = yield min(sum(segments), HEADER)
    codec = _codec(packet)
    if codec is None or not codec.rate:
        return None
    tail = _Tail()
    file.listener = tail.feed
    with suppress(EOFError):
        yield TO_END
    samples = max(0, _last(bytes(tail.kept[-TAIL_BYTES:]), serial=head[10:14]) - codec.skip)
    believed = (samples // codec.rate + 1) * codec.largest_second >= file.position
    return Length(samples * 1000 // codec.rate) if samples and believed else None


def _codec(packet: bytes) -> _Codec | None:
    if packet.startswith(b"OpusHead"):  # RFC 7845 section 5.1
        return _Codec(48_000, int.from_bytes(packet[10:12], "little"))
    if packet.startswith(b"\x01vorbis"):  # Vorbis I section 4.2.2
        return _Codec(int.from_bytes(packet[12:16], "little"))
    if packet.startswith(b"Speex   "):
        return _Codec(int.from_bytes(packet[36:40], "little"))
    if packet.startswith(b"\x7fFLAC"):  # RFC 9639 section 10.1: STREAMINFO from byte 17 on
        rate = int.from_bytes(packet[27:30], "big") >> 4
        return _Codec(rate, largest_second=rate * 32)
    return None


def _last(tail: bytes, serial: bytes) -> int:
    """Return the number of samples up to the last page on which a packet ends; 0 if it is unknown."""
    place = tail.rfind(b"OggS")
    while place >= 0:
        page = tail[place : place + 27]
        samples = int.from_bytes(page[6:14], "little", signed=True)
        if len(page) == 27 and page[14:18] != serial:
            return 0
        if len(page) == 27 and samples >= 0:
            return samples
        place = tail.rfind(b"OggS", 0, place)
    return 0
