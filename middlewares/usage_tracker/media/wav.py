"""WAV: RIFF chunks, the size of whose samples tells the length."""

from __future__ import annotations

from typing import NamedTuple

from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.peek import TO_END, File, Steps

CHUNKS = 100
"""The samples come after fewer others."""
PCM = (0x0001, 0x0003, 0x0006, 0x0007)
"""Formats whose blocks are one sample of each channel: integer, float, A-law, mu-law."""
ADPCM = (0x0002, 0x0011)
"""Formats that say how many samples a block holds."""
EXTENSIBLE = 0xFFFE
UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What is written by those that cannot go back to fill it in: the samples go on to the end of the file."""


class _Speed(NamedTuple):
    rate: int
    """Samples a second."""
    samples: int
    """In one block."""
    block: int
    """Bytes."""


def wav(file: File) -> Steps[Length | None]:
    """What follows `RIFF`. Samples that were announced but are not there do not count."""
    if (yield 8)[4:] != b"WAVE":
        return None
    speed: _Speed | None = None
    for _ in range(CHUNKS):
        head = yield 8
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return (yield from _samples(file, size, speed)) if speed else None
        taken = b""
        if head[:4] == b"fmt ":
            taken = yield min(size, 40)
            speed = _speed(taken)
        yield len(taken) - size - size % 2  # chunks begin at even places
    return None


def _speed(form: bytes) -> _Speed | None:
    """Of a `fmt ` chunk; None where it is of no use. Formats that are not known here go by what it says itself."""

    def number(start: int, length: int) -> int:
        return int.from_bytes(form[start : start + length], "little")

    tag = number(24, 2) if number(0, 2) == EXTENSIBLE else number(0, 2)
    if tag in PCM:
        speed = _Speed(number(4, 4), 1, number(12, 2))
    elif tag in ADPCM:
        speed = _Speed(number(4, 4), number(18, 2), number(12, 2))
    else:
        speed = _Speed(number(8, 4), 1, 1)
    return speed if all(speed) else None


def _samples(file: File, size: int, speed: _Speed) -> Steps[Length]:
    start = file.position
    try:
        yield TO_END if size in UNKNOWN_SIZES else -size
    except EOFError:
        size = file.position - start
    return Length(size // speed.block * speed.samples * 1000 // speed.rate)
