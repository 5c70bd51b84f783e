"""Width and height of images, exact in four formats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.usage_tracker.media.peek import Peek
from middlewares.usage_tracker.media.picture import LARGEST_SIDE, picture
from tests.usage_tracker.media import media_files
from tests.usage_tracker.meters.meter_runs import cuts


def size(*chunks: bytes) -> tuple[int, int] | None:
    peek = Peek(picture)
    for chunk in chunks:
        peek.feed(chunk)
    return peek.found


@pytest.mark.parametrize("name", media_files.PICTURES)
@pytest.mark.parametrize("expected", media_files.SIZES)
def test_size(name: str, expected: tuple[int, int]) -> None:
    data = media_files.pictures(*expected)[name]
    assert size(data) == expected
    assert size(data[:1024]) == expected


@given(st.data(), st.sampled_from(sorted(media_files.PICTURES)))
def test_size_does_not_depend_on_cuts(data: st.DataObject, name: str) -> None:
    head = media_files.pictures(333, 77)[name][:2000]
    assert size(*data.draw(cuts(head))) == (333, 77)


def test_extended_webp() -> None:
    canvas = (1919).to_bytes(3, "little") + (1079).to_bytes(3, "little")
    assert size(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + canvas) == (1920, 1080)


def test_photograph_with_a_preview_and_a_colour_profile() -> None:
    """Cameras put a small JPEG of its own, with a frame header, before the frame header that counts."""
    small, large = media_files.pictures(64, 48)["baseline.jpg"], media_files.pictures(1920, 1080)["baseline.jpg"]
    preview = b"\xff\xe1" + (len(small) + 8).to_bytes(2, "big") + b"Exif\0\0" + small
    profile = b"\xff\xff\xff\xe2" + (65_535).to_bytes(2, "big") + b"\xff\xc0" * 32_766 + b"\0"
    assert size(large[:2] + preview + profile * 3 + large[2:]) == (1920, 1080)


def _comment(text: bytes) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


SMALL_FRAME = b"\xff\xc0\0\x11\x08\0\1\0\1\3\1\x22\0\2\x11\1\3\x11\1"


@pytest.mark.parametrize(
    "extraneous",
    [
        b"\xff\0" + _comment(b"x" * 60_000) + _comment(b"y" * 5_528 + SMALL_FRAME),
        b"\xff\0\xff\0",
        b"\0",
        b"junk" + SMALL_FRAME[1:],
        b"\xff\xd3",
    ],
)
def test_bytes_between_segments_hide_no_frame_header(extraneous: bytes) -> None:
    """Go and libjpeg pass over them; who takes `FF 00` for a segment skips by its length, to a frame of one pixel."""
    data = media_files.pictures(1920, 1080)["baseline.jpg"]
    first = 4 + int.from_bytes(data[4:6], "big")
    assert size(data[:first] + extraneous + data[first:]) == (1920, 1080)


@pytest.mark.parametrize(
    ("head", "unbelievable"),
    [
        (b"\xff\xd8" + b"\xff\xe0\0\2" * 2000 + b"\xff\xc0\0\x11\x08\0\x10\0\x10", True),
        (b"\xff\xd8" + b"\0" * 2000 + b"\xff\xc0\0\x11\x08\0\x10\0\x10", True),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (70_000).to_bytes(4, "big") + b"\0\0\4\xb0", True),
        (b"RIFF\0\0\0\0WEBPJUNK" + bytes(40), True),
        (b"RIFF\0\0\0\0WAVEfmt " + bytes(40), False),
        (b"II*\0" + bytes(60), False),
        (media_files.pictures(64, 48)["rgb.png"], False),
    ],
)
def test_a_head_of_a_known_format_is_readable_or_unbelievable(head: bytes, unbelievable: bool) -> None:
    peek = Peek(picture)
    peek.feed(head)
    assert peek.unbelievable is unbelievable


@pytest.mark.parametrize(
    "head",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (2**31 - 1).to_bytes(4, "big") * 2,
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (LARGEST_SIDE + 1).to_bytes(4, "big") + b"\0\0\0\1",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(8),
        b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI" + bytes(40),
        b"GIF89a" + bytes(4),
        b"GIF80a\1\0\1\0",
        b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\x10" + bytes(20),
        b"\xff\xd8\xff\xda\0\x08" + bytes(40),
        b"\xff\xd8\xff\xe0\0\0" + bytes(40),
        b"\xff\xd8" + b"\xff\xe0\0\2" * 2000 + b"\xff\xc0\0\x11\x08\0\x10\0\x10",
        b"RIFF\0\0\0\0WAVEfmt " + bytes(40),
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0" + bytes(40),
        b"BM" + bytes(60),
        b"II*\0" + bytes(60),
        b"\0\0\0\x20ftypavif" + bytes(60),
        b"",
        b"\xff",
    ],
)
def test_headers_that_say_nothing_believable(head: bytes) -> None:
    assert size(head) is None
