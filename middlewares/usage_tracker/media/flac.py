"""FLAC: STREAMINFO counts the samples (RFC 9639 section 8.2)."""

from __future__ import annotations

from contextlib import suppress

from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.peek import TO_END, File, Steps

BLOCKS = 100
"""Most blocks of metadata: comments, pictures, seek points."""


def flac(file: File) -> Steps[Length | None]:
    """Read what follows `fLaC`: metadata, then frames."""
    info, last = b"", False
    for _ in range(BLOCKS):
        head = yield 4
        last = head[0] >= 0x80
        size = int.from_bytes(head[1:], "big")
        if not info:
            if head[0] & 0x7F or size < 18:
                return None
            info = yield 18
            size -= 18
        yield -size
        if last:
            break
    start = file.position
    with suppress(EOFError):
        yield TO_END
    return _length(info, file.position - start)


def _length(info: bytes, frames: int) -> Length | None:
    """Return the length by the first 18 bytes of STREAMINFO and the size of all frames; None if they contradict.

    Samples can be stored as they are, so that frames are hardly ever larger than their samples: if they are twice
    as large, the count is wrong.
    """
    packed = int.from_bytes(info[10:18], "big")
    rate, samples = packed >> 44, packed & 2**36 - 1
    sample_bits = ((packed >> 41 & 7) + 1) * ((packed >> 36 & 31) + 1)
    if not rate or not samples or frames > samples * sample_bits // 4 + 65_536:
        return None
    return Length(samples * 1000 // rate)
