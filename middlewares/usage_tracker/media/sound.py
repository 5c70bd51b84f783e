"""The duration of an audio file, from its container's own header.

No library does this of a stream: they seek, and read every Ogg page, tag and picture. Here a few hundred bytes are
read as the file passes. The numbers taken are those that ffmpeg, hence the gateway, uses.
"""

from __future__ import annotations

from contextlib import suppress

from middlewares.usage_tracker.media.flac import flac
from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.mp3 import mp3
from middlewares.usage_tracker.media.mp4 import KINDS, Mp4
from middlewares.usage_tracker.media.ogg import ogg
from middlewares.usage_tracker.media.peek import TO_END, File, Steps
from middlewares.usage_tracker.media.wav import wav

ID3_TAGS = 4
"""Most tags before the audio; one is usual."""

_PARSERS = {b"RIFF": wav, b"fLaC": flac, b"OggS": ogg}


def sound(file: File) -> Steps[Length | None]:
    """Return the length of a WAV, FLAC, MP3, Ogg or MP4 file; None if it cannot be read."""
    magic = yield 4
    for _ in range(ID3_TAGS):
        if magic[:3] != b"ID3":
            break
        size = 0
        for digit in (yield 6)[2:]:  # seven bits each (ID3v2.4 section 3.1)
            size = size << 7 | digit & 0x7F
        yield -size
        magic = yield 4
    if magic in _PARSERS:
        return (yield from _PARSERS[magic](file))
    if magic[0] == 0xFF:
        return (yield from mp3(file, magic))
    return (yield from _mp4(file, magic))


def _mp4(file: File, size: bytes) -> Steps[Length | None]:
    """Read on after the size of the first box."""
    kind = yield 4
    if kind not in KINDS:
        return None
    movie = Mp4()
    movie.feed(size + kind)
    file.listener = movie.feed
    with suppress(EOFError):
        yield TO_END
    milliseconds = movie.milliseconds()
    return Length(milliseconds) if milliseconds else None
