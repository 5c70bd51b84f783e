"""Width and height of an image, from its own header: PNG, JPEG, WebP, GIF."""

from __future__ import annotations

from middlewares.usage_tracker.media.peek import Steps, Unbelievable

LARGEST_SIDE = 65_535
"""Largest width or height that decoders take; a header that claims more is not believed."""
JPEG_STEPS = 1_000
"""Most segments before a frame header, and bytes between them that belong to none; normally there are tens at most."""

Size = tuple[int, int]


def picture() -> Steps[Size | None]:
    """Return width and height in pixels; None for another format. Raises `Unbelievable` where they cannot be read."""
    magic = yield 4
    size: Size | None
    if magic == b"\x89PNG":
        size = _png((yield 20))
    elif magic == b"GIF8":
        size = _gif((yield 6))
    elif magic == b"RIFF":
        head = yield 26
        if head[4:8] != b"WEBP":
            return None
        size = _webp(head)
    elif magic.startswith(b"\xff\xd8"):
        size = yield from _jpeg(magic[2:])
    else:
        return None
    if not size or not 0 < size[0] <= LARGEST_SIDE or not 0 < size[1] <= LARGEST_SIDE:
        raise Unbelievable
    return size


def _png(head: bytes) -> Size | None:
    """Read the rest of the signature, then IHDR, which comes first (PNG specification section 5.6)."""
    if head[:12] != b"\r\n\x1a\n\0\0\0\rIHDR":
        return None
    return int.from_bytes(head[12:16], "big"), int.from_bytes(head[16:20], "big")


def _gif(head: bytes) -> Size | None:
    """Read the version, then the logical screen (GIF89a section 18)."""
    if head[:2] not in (b"7a", b"9a"):
        return None
    return _little(head[2:4]), _little(head[4:6])


def _webp(head: bytes) -> Size | None:
    """Read the file size, `WEBP`, then the first chunk (RFC 9649 sections 2.5 to 2.7)."""
    kind, data = head[8:12], head[16:]
    if kind == b"VP8X":
        return _little(data[4:7]) + 1, _little(data[7:10]) + 1
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return _little(data[6:8]) & 0x3FFF, _little(data[8:10]) & 0x3FFF
    if kind == b"VP8L" and data[0] == 0x2F:
        bits = _little(data[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _jpeg(marker: bytes) -> Steps[Size | None]:
    """Read segments up to the frame header (ITU-T T.81 annex B); `marker` is the first one, if nothing is before it.

    Like Go and libjpeg, which decode behind the gateway, it passes over bytes between segments that belong to none.
    """
    for _ in range(JPEG_STEPS):
        code = marker[1]
        if marker[0] != 0xFF or code == 0xFF:
            marker = marker[1:] + (yield 1)
            continue
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            frame = yield 7
            return int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[3:5], "big")
        if code in (0xD9, 0xDA):  # the end, or the scan, before any frame
            return None
        if code > 0x01 and not 0xD0 <= code <= 0xD8:
            length = int.from_bytes((yield 2), "big")
            if length < 2:
                return None
            yield 2 - length
        marker = yield 2
    return None


def _little(digits: bytes) -> int:
    return int.from_bytes(digits, "little")
