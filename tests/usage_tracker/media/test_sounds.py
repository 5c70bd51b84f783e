"""How long sounds last: as ffprobe says, whatever the container, and however its bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.usage_tracker.media.length import Length
from middlewares.usage_tracker.media.peek import Peek
from middlewares.usage_tracker.media.sound import sound
from tests.usage_tracker.media import media_files
from tests.usage_tracker.meters.meter_runs import cuts


def length(*chunks: bytes) -> Length | None:
    peek = Peek(sound)
    for chunk in chunks:
        peek.feed(chunk)
    return peek.end()


@pytest.mark.parametrize("name", media_files.SOUNDS)
def test_within_50_ms_of_ffprobe(name: str) -> None:
    found = length(media_files.sounds()[name])
    assert found is not None
    assert found.exact
    assert abs(found.milliseconds - 1000 * media_files.seconds(name)) < 50


@pytest.mark.parametrize("name", media_files.UNSUPPORTED_SOUNDS)
def test_other_containers_are_not_guessed_at(name: str) -> None:
    assert length(media_files.unsupported_sounds()[name]) is None


@pytest.mark.parametrize("name", media_files.SOUNDS)
@pytest.mark.parametrize("step", [1, 3, 4096])
def test_length_does_not_depend_on_chunks(name: str, step: int) -> None:
    data = media_files.short_sounds().get(f"short-{name}", media_files.sounds()[name][:20_000])
    assert length(*(data[place : place + step] for place in range(0, len(data), step))) == length(data)


@given(st.data(), st.sampled_from(sorted(media_files.SOUNDS)))
def test_length_does_not_depend_on_any_cuts(data: st.DataObject, name: str) -> None:
    sound = media_files.sounds()[name]
    assert length(*data.draw(cuts(sound))) == length(sound)


def test_times_at_the_end_of_a_long_file() -> None:
    """An m4a recorder writes them last, behind any amount of sound."""
    data = media_files.sounds()["times-last.m4a"]
    place = data.index(b"mdat") - 4
    size = int.from_bytes(data[place : place + 4], "big")
    grown = data[:place] + (size + 10_000_000).to_bytes(4, "big") + data[place + 4 : place + size]
    assert length(grown, bytes(10_000_000), data[place + size :]) == length(data)


def test_a_cover_picture_before_the_sound() -> None:
    """ID3 tags of hundreds of KiB are usual."""
    data = media_files.sounds()["uncounted.mp3"]
    frames = data[10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)) :]
    size = 3 << 14
    tag = b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + b"\xff" * size
    assert length(tag + frames) == length(data)
    flac = media_files.sounds()["plain.flac"]
    assert length(tag + flac) == length(flac)


def test_a_long_file_without_a_count_goes_by_its_first_frames() -> None:
    """Exact where the bit rate is constant, and said to be an average where it is not."""
    slow, fast = (media_files.sounds()[name][45:] for name in ("uncounted.mp3", "uncounted-fast.mp3"))
    slow, fast = (data[data.index(b"\xff\xfb") :] for data in (slow, fast))
    even = length(*[slow] * 60)
    assert even is not None
    assert even.exact
    assert abs(even.milliseconds - 60 * 7340) < 100
    uneven = length(*[slow, fast] * 30)
    assert uneven is not None
    assert not uneven.exact
    assert abs(uneven.milliseconds - 60 * 7340) < 10_000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 2**31])
def test_samples_of_a_wav_are_those_that_are_there(size: int) -> None:
    """Recorders that cannot go back leave the size open; and what was announced and never came is no sound."""
    data = media_files.sounds()["pcm.wav"]
    place = data.index(b"data") + 4
    found = length(data[:place] + size.to_bytes(4, "little") + data[place + 4 :])
    assert found == length(data)


def test_samples_of_a_wav_may_come_in_several_chunks() -> None:
    """Decoders play them one after the other, so the first one alone would tell too little."""
    data = media_files.sounds()["pcm.wav"]
    place = data.index(b"data")
    second = b"data" + (88_200).to_bytes(4, "little") + data[place + 8 : place + 8 + 88_200]
    assert length(data[:place] + second) == Length(1000)
    assert length(data[:place] + second + b"LIST\1\0\0\0x\0" + second + second) == Length(3000)
    assert length(data[:place] + second[:-44_100]) == Length(500)
    assert length(data[:place] + b"data\1\0\0\0x\0" * 200 + second) is None


@pytest.mark.parametrize("samples", [0, 1, 1000])
def test_forged_count_of_a_flac_is_not_believed(samples: int) -> None:
    """So many bytes of frames cannot be so few samples."""
    data = bytearray(media_files.sounds()["plain.flac"])
    packed = int.from_bytes(data[18:26], "big")
    data[18:26] = (packed >> 36 << 36 | samples).to_bytes(8, "big")
    assert length(bytes(data) + bytes(100_000)) is None


def test_forged_count_of_an_mp3_is_not_believed() -> None:
    data = bytearray(media_files.sounds()["counted.mp3"])
    place = data.index(b"Info") + 8
    data[place : place + 4] = (1).to_bytes(4, "big")
    assert length(bytes(data) + bytes(data[-20_000:]) * 5) is None


def test_a_tag_between_frames_is_not_the_end() -> None:
    data = media_files.sounds()["uncounted.mp3"][45:]
    frames = data[data.index(b"\xff\xfb") :]
    tag = b"TAG" + bytes(125)
    assert length(frames + tag) == length(frames)
    found = length(frames[: frames.index(b"\xff\xfb", 4)] + tag + frames * 20)
    assert found is not None
    assert not found.exact
    assert found.milliseconds > 100_000


def test_forged_last_page_is_not_believed() -> None:
    """Hours of sound cannot be a moment."""
    data = media_files.sounds()["opus.ogg"]
    place = data.rindex(b"OggS")
    forged = data[place : place + 6] + (48_000).to_bytes(8, "little") + data[place + 14 :]
    assert length(data[:place] + forged) == Length((48_000 - 312) // 48)
    assert length(data[:place] * 10 + forged) is None


def test_ogg_files_one_after_the_other() -> None:
    """Their serial numbers differ, and the last page tells of the last of them only."""
    first, last = media_files.sounds()["opus.ogg"], media_files.sounds()["vorbis.ogg"]
    assert length(first, last) is None
    assert length(first, first) == length(first)


def test_nothing_at_all() -> None:
    assert length() is None
    assert length(b"") is None
    assert length(b"RI") is None
