"""How long a segment lasts, by its own bytes: within one frame of what ffprobe says."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from middlewares.usage_tracker.meters.renditions import Media
from tests.usage_tracker.meters.meter_runs import cuts
from tests.usage_tracker.meters.segments import Segment, segment

RATES = ("24", "25", "30000/1001", "60")
NEAR_WRAP = str(Fraction(2**33, 90_000) - Fraction(1, 2))
FORMS = {
    "ts": ("ts", ()),
    "ts-across-the-wrap": ("ts", ("-output_ts_offset", f"{float(Fraction(NEAR_WRAP)):.6f}")),
    "mp4": ("mp4", ()),
    "mp4-header-first": ("mp4", ("-movflags", "+faststart")),
    "mp4-fragments": ("mp4", ("-movflags", "frag_keyframe+empty_moov", "-g", "12")),
    "mp4-fragments-default-base": ("mp4", ("-movflags", "frag_every_frame+empty_moov+default_base_moof")),
}


def media(data: bytes, step: int = 65_536) -> Media:
    """What is read of a file in pieces."""
    read = Media()
    for start in range(0, len(data), step):
        read.feed(data[start : start + step])
    return read


def is_exact(read: Media, made: Segment, rate: str) -> bool:
    """Within one frame, with as many frames."""
    milliseconds = read.milliseconds()
    assert milliseconds is not None
    return abs(Fraction(milliseconds, 1000) - made.seconds) <= 1 / Fraction(rate) and read.frames() == made.frames


PLAIN = ("ts", "mp4")
CASES = [(form, rate) for form in FORMS for rate in (RATES if form in PLAIN else ("30000/1001",))]


@pytest.mark.parametrize(("form", "rate"), CASES)
def test_within_one_frame(form: str, rate: str) -> None:
    container, options = FORMS[form]
    made = segment(container, rate, *options)
    read = media(made.data)
    assert is_exact(read, made, rate)
    assert read.size() == (160, 90)


@pytest.mark.parametrize("container", ["ts", "mp4"])
def test_sound_alone(container: str) -> None:
    made = segment(container, video=False)
    read = media(made.data)
    assert abs((read.milliseconds() or 0) - 1000) <= 50
    assert (read.frames(), read.size()) == (0, (0, 0))


@pytest.mark.parametrize("container", ["ts", "mp4"])
def test_video_that_is_shorter_than_its_sound(container: str) -> None:
    made = segment(container, "25", "-map", "0:v", "-map", "1:a", "-t", "0.6", seconds="1")
    assert is_exact(media(made.data), made, "25")


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_chunking_says_the_same(data: st.DataObject) -> None:
    container, options = FORMS[data.draw(st.sampled_from(sorted(FORMS)))]
    made = segment(container, "25", *options)
    read = Media()
    for piece in data.draw(cuts(made.data)):
        read.feed(piece)
    assert is_exact(read, made, "25")


@pytest.mark.parametrize("container", ["ts", "mp4"])
def test_byte_by_byte(container: str) -> None:
    made = segment(container, "25")
    assert is_exact(media(made.data, 1), made, "25")


def test_garbage_before_and_between_packets() -> None:
    made = segment("ts", "25", sound=False)
    middle = len(made.data) // 2 // 188 * 188
    noise = b"noise" + b"G" * 7 + bytes(range(70)) + b"\x47\x40"
    read = media(noise + made.data[:middle] + noise + made.data[middle:])
    assert is_exact(read, made, "25")


def test_time_stamps_that_jump_are_an_edit() -> None:
    made = segment("ts", "25", sound=False)
    later = segment("ts", "25", "-output_ts_offset", "5000", sound=False)
    read = media(made.data + later.data + made.data)
    assert read.milliseconds() == 3000


def test_head_of_a_pes_packet_cut_by_its_transport_packet() -> None:
    made = segment("ts", "25", sound=False)
    packets = [made.data[at : at + 188] for at in range(0, len(made.data), 188)]
    read = media(b"".join(piece for packet in packets for piece in _cut_head(packet)))
    assert is_exact(read, made, "25")


def _cut_head(packet: bytes) -> list[bytes]:
    """A packet that begins a PES packet as two: ten bytes of payload (stuffed in front), and the rest."""
    payload = packet[4:] if not packet[3] & 0x20 else packet[5 + packet[4] :]
    if not packet[1] & 0x40 or payload[:3] != b"\0\0\1":
        return [packet]
    head, rest = payload[:10], payload[10:]
    pid = bytes((packet[1] & 0x1F, packet[2]))
    first = bytes((0x47, 0x40 | pid[0], pid[1], 0x30, 173)) + b"\0" + b"\xff" * 172 + head
    stuffing = 183 - len(rest)
    second = bytes((0x47, pid[0], pid[1], 0x30, stuffing)) + (b"\0" + b"\xff" * (stuffing - 1) if stuffing else b"")
    return [first, second + rest]


def test_movie_header_behind_much_media_is_found_without_keeping_it() -> None:
    made = segment("mp4", "25", sound=False)
    boxes = made.data.index(b"mdat") - 4
    skipped = 40_000_000
    mdat = (skipped + 16).to_bytes(8)
    read = Media()
    read.feed(made.data[:boxes] + b"\0\0\0\1mdat" + mdat)
    for _ in range(skipped // 100_000):
        read.feed(bytes(100_000))
    read.feed(made.data[boxes:])
    assert is_exact(read, made, "25")


def test_forged_headers_of_a_movie_count_less_than_its_samples() -> None:
    made = segment("mp4", "25", sound=False)
    forged = bytearray(made.data)
    for kind, at in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        place = forged.index(kind) + 4 + at
        forged[place : place + 4] = b"\0\0\0\1"
    assert is_exact(media(bytes(forged)), made, "25")
