"""WAV: RIFF chunks; the length follows from the size of the samples."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.peek import TO_END, File, Steps

CHUNKS = 100
"""Most chunks that are read; a file has some ten at most."""
PCM = (0x0001, 0x0003, 0x0006, 0x0007)
"""Formats whose blocks are one sample of each channel: integer, float, A-law, mu-law."""
ADPCM = (0x0002, 0x0011)
"""Formats whose header holds the number of samples of a block."""
EXTENSIBLE = 0xFFFE
UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Sizes written by encoders that cannot go back to fill them in: the samples go on to the end of the file."""


class _Speed(NamedTuple):
    rate: int
    """Samples a second."""
    samples: int
    """Samples of one block."""
    block: int
    """Bytes of one block."""


def wav(file: File) -> Steps[Length | None]:
    """Read what follows `RIFF`. Samples may come in several chunks; announced samples that never came do not count."""
    if (yield 8)[4:] != b"WAVE":
        return None
    speed: _Speed | None = None
    samples = 0
    with suppress(EOFError):
        for _ in range(CHUNKS):
            head = yield 8
            size = int.from_bytes(head[4:], "little")
            taken = 0
            if head[:4] == b"fmt ":
                form = yield min(size, 40)
                speed, taken = _speed(form), len(form)
            elif head[:4] == b"data":
                taken = yield from _passed(file, size)
                samples += taken
                if taken != size:
                    break
            yield taken - size - size % 2  # chunks begin at even places
        else:
            return None
    return Length(samples // speed.block * speed.samples * 1000 // speed.rate) if speed and samples else None


def _speed(form: bytes) -> _Speed | None:
    """Return the speed in a `fmt ` chunk; None if it is unusable. Unknown formats count by their declared byte rate."""

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


def _passed(file: File, size: int) -> Steps[int]:
    """Skip `size` bytes of samples. Return how many there were; fewer if the file has ended."""
    start = file.position
    with suppress(EOFError):
        yield TO_END if size in UNKNOWN_SIZES else -size
    return file.position - start
