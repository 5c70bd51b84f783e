"""MP3: the first frame may hold the number of all frames; otherwise they are counted one by one."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.peek import TO_END, File, Steps

WALKED = 4_000
"""Most frames that are counted, some 100 seconds; a longer file is extrapolated from them."""
SLACK = 65_536
"""Most bytes of tags after frames whose number is known."""
TAG_BYTES = 128
"""Size of an ID3v1 tag, the only thing after the last frame that is not taken for audio."""

_RATES = (44_100, 48_000, 32_000)
_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bit rates of MPEG-2 and 2.5."""


class _Frame(NamedTuple):
    samples: int
    rate: int
    kbits: int
    size: int
    side: int
    """Bytes of side information after the header."""

    @property
    def largest(self) -> int:
        """Size of the largest frame of this rate."""
        return self.samples // 8 * 320_000 // self.rate + 1


def mp3(file: File, head: bytes) -> Steps[Length | None]:
    """Read on after the first frame's header, `head`."""
    first = _frame(head)
    if first is None:
        return None
    start = file.position - 4
    content = yield min(first.size - 4, 200)
    frames = _count(content, first.side)
    if frames:
        return (yield from _counted(file, start, first, frames))
    yield len(content) + 4 - first.size
    return (yield from _walk(file, start, first))


def _frame(head: bytes) -> _Frame | None:
    """Return the frame of a Layer III header (ISO 11172-3 section 2.4.2.3, ISO 13818-3); None if it is none."""
    bits = int.from_bytes(head, "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    kbits, rate = bits >> 12 & 15, bits >> 10 & 3
    if bits >> 21 != 0x7FF or version == 1 or layer != 1 or kbits in (0, 15) or rate == 3:
        return None
    mono = head[3] >> 6 == 3
    full = version == 3
    hertz = _RATES[rate] >> (0 if full else 1 if version == 2 else 2)
    speed = (_KBITS if full else _KBITS_LOW)[kbits]
    samples = 1152 if full else 576
    size = samples // 8 * speed * 1000 // hertz + (bits >> 9 & 1)
    return _Frame(samples, hertz, speed, size, (17 if mono else 32) if full else (9 if mono else 17))


def _count(content: bytes, side: int) -> int:
    """Return the number of frames that the encoder wrote in place of the first frame's audio; 0 if it did not."""
    if content[side : side + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(content[side + 4 : side + 8], "big")
        return int.from_bytes(content[side + 8 : side + 12], "big") if flags & 1 else 0
    if content[32:36] == b"VBRI":
        return int.from_bytes(content[46:50], "big")
    return 0


def _counted(file: File, start: int, frame: _Frame, frames: int) -> Steps[Length | None]:
    """Return the length by a number of frames; None if the file is too small for it."""
    with suppress(EOFError):
        yield TO_END
    possible = (frames + 1) * frame.largest + SLACK >= file.position - start
    return _lasting(frames * frame.samples, frame) if possible else None


def _walk(file: File, start: int, first: _Frame) -> Steps[Length]:
    """Count frames up to the end, or extrapolate from the first of them."""
    frames, kbits, lost = 1, {first.kbits}, False
    walked, head = file.position, b""
    try:
        while frames < WALKED and not lost:
            head = yield 4
            frame = _frame(head)
            if frame is None or frame.rate != first.rate:
                lost = True
            else:
                yield 4 - frame.size
                frames += 1
                kbits.add(frame.kbits)
                walked = file.position
    except EOFError:
        return _lasting(frames * first.samples, first)
    with suppress(EOFError):
        yield TO_END
    if head[:3] == b"TAG" and file.position - walked == TAG_BYTES:
        return _lasting(frames * first.samples, first)
    average = _lasting(frames * first.samples * (file.position - start) // (walked - start), first)
    return average._replace(exact=not lost and len(kbits) == 1)


def _lasting(samples: int, frame: _Frame) -> Length:
    return Length(samples * 1000 // frame.rate)
