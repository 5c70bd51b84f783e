"""Segment push, measured by FFmpeg: which duration is believed, which renditions are counted, how large they are."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.workloads import Unit
from middlewares.ledger.model import Provenance, Usage
from tests.media_probe.running import RunningProbe
from tests.usage_tracker.meters.meter_runs import cuts
from tests.usage_tracker.meters.pushes import MULTIPART, pixels, pushed, times
from tests.usage_tracker.meters.segments import multipart, segment

SMALL = {"name": "small", "width": 320, "height": 180, "bitrate": 200_000, "fps": 10}
LARGE = {"name": "large", "width": 640, "height": 360, "bitrate": 900_000}
PRESETS = multipart(("P240p30fps16x9", "video/MP2T", b"no media"), ("P360p30fps16x9", "video/MP2T", b"no media"))
LINK = "application/vnd+livepeer.uri"
MEASURED, UPSTREAM, DECLARED, ESTIMATED = Provenance

FORMS = {
    "ts": ("ts", ()),
    "mp4": ("mp4", ()),
    "mp4-header-first": ("mp4", ("-movflags", "+faststart")),
    "mp4-fragments": ("mp4", ("-movflags", "frag_keyframe+empty_moov", "-g", "12")),
    "mp4-fragments-default-base": ("mp4", ("-movflags", "frag_every_frame+empty_moov+default_base_moof")),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("rate", ["24", "25", "30000/1001", "60"])
@pytest.mark.parametrize("form", FORMS)
def test_within_one_frame(form: str, rate: str, probe: RunningProbe) -> None:
    container, options = FORMS[form]
    made = segment(container, rate, *options)
    used = probe.run(pushed(probe.tools, made.data, profiles=[LARGE]))
    assert abs(Fraction(used.units[Unit.MILLISECONDS], 1000) - made.seconds) <= 1 / Fraction(rate)
    assert times(used)[1] is MEASURED
    assert pixels(used) == (640 * 360 * made.frames, DECLARED)


@pytest.mark.parametrize("container", ["ts", "mp4"])
@pytest.mark.parametrize("forged", [None, "1", "0", "-5", "2000", "99999999", "NaN", "9" * 40, "\xb2"])
def test_the_segment_itself_says_how_long_it_is(container: str, forged: str | None, probe: RunningProbe) -> None:
    work = pushed(
        probe.tools, segment(container, "25").data, PRESETS, content_duration=forged, trust_content_duration=True
    )
    used = probe.run(work)
    assert times(used) == (2 * 1000, MEASURED)
    assert used.complete


def test_garbage_before_and_between_packets(probe: RunningProbe) -> None:
    made = segment("ts", "25", sound=False)
    middle = len(made.data) // 2 // 188 * 188
    noise = b"noise" + b"G" * 7 + bytes(range(70)) + b"\x47\x40"
    used = probe.run(pushed(probe.tools, noise + made.data[:middle] + noise + made.data[middle:], profiles=[LARGE]))
    assert 960 <= times(used)[0] <= 1040


def test_forged_headers_of_a_movie_count_less_than_its_samples(probe: RunningProbe) -> None:
    made = segment("mp4", "25", sound=False)
    forged = bytearray(made.data)
    for kind, at in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        place = forged.index(kind) + 4 + at
        forged[place : place + 4] = b"\0\0\0\1"
    assert times(probe.run(pushed(probe.tools, bytes(forged), profiles=[LARGE]))) == (1000, MEASURED)


@pytest.mark.parametrize(("said", "expected"), [(None, (2_000, UPSTREAM)), ("9000", (2_000, UPSTREAM))])
def test_renditions_give_the_duration_of_a_segment_that_cannot_be_read(
    said: str | None, expected: tuple[int, Provenance], probe: RunningProbe
) -> None:
    response = multipart(("x", "video/MP2T", segment("ts", "25", seconds="2").data))
    used = probe.run(pushed(probe.tools, b"?", response, content_duration=said, trust_content_duration=True))
    assert times(used) == expected


def test_a_rendition_that_is_longer_than_its_segment_is_what_was_paid_for(probe: RunningProbe) -> None:
    response = multipart(("x", "video/MP2T", segment("ts", "25", seconds="2").data), ("y", LINK, b"u"))
    used = probe.run(pushed(probe.tools, segment("ts", "25").data, response))
    assert times(used) == (2 * 2_000, MEASURED)


def test_renditions_are_as_large_as_their_media_say(probe: RunningProbe) -> None:
    parts = multipart(
        ("P720p60fps16x9", "video/MP2T", segment("ts", "25").data), ("y", "video/mp4", segment("mp4", "24").data)
    )
    used = probe.run(pushed(probe.tools, segment("ts", "30").data, parts))
    assert times(used) == (2 * 1000, MEASURED)
    assert pixels(used) == (160 * 90 * (25 + 24), UPSTREAM)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("source", "size"), [("160x120", 426 * 320), ("128x128", 426 * 426), ("90x160", 136 * 240), ("160x90", 426 * 240)]
)
@pytest.mark.parametrize("linked", [True, False])
def test_a_rendition_keeps_the_aspect_ratio_of_its_source(
    source: str, size: int, linked: bool, probe: RunningProbe
) -> None:
    """Profiles alone were 25 to 44 % too low for sources of 4:3 and squares."""
    link = multipart(("P240p30fps16x9", LINK, b"https://store.example/0.ts")) if linked else b""
    profile = {"name": "P240p30fps16x9", "width": 426, "height": 240, "bitrate": 1, "fps": 30}
    used = probe.run(pushed(probe.tools, segment("ts", "25", size=source).data, link, profiles=[profile]))
    assert pixels(used) == (size * 30, UPSTREAM if linked else DECLARED)


@pytest.mark.parametrize(
    ("name", "size", "rate"),
    [
        ("P144p30fps16x9", 256 * 144, 30),
        ("P240p30fps16x9", 426 * 240, 30),
        ("P240p25fps4x3", 320 * 180, 25),
        ("P360p30fps16x9", 640 * 360, 30),
        ("P576p25fps16x9", 1024 * 576, 25),
        ("P720p60fps16x9", 1280 * 720, 60),
        ("P720p30fps4x3", 960 * 540, 30),
        ("webhook_854x480_1600000", 854 * 480, 25),
    ],
)
def test_renditions_that_are_linked_are_as_large_as_their_names_say(
    name: str, size: int, rate: int, probe: RunningProbe
) -> None:
    link = multipart((name, LINK, b"https://store.example/0.ts"))
    used = probe.run(pushed(probe.tools, segment("ts", "25").data, link))
    assert times(used) == (1000, MEASURED)
    assert pixels(used) == (size * rate, UPSTREAM)


@pytest.mark.parametrize("name", ["", "who knows", "P000p00fps0x1", "P720p30fps16x0", "webhook_1x1"])
def test_a_rendition_of_unknown_size_is_not_free(name: str, probe: RunningProbe) -> None:
    used = probe.run(pushed(probe.tools, segment("ts", "25").data, multipart((name, LINK, b"u"))))
    assert pixels(used) == (1280 * 720 * 25, ESTIMATED)


def test_a_response_that_names_no_renditions_means_those_of_the_plan(probe: RunningProbe) -> None:
    used = probe.run(pushed(probe.tools, segment("ts", "25").data, profiles=[SMALL, LARGE]))
    assert times(used) == (2 * 1000, MEASURED)
    assert pixels(used) == (320 * 180 * 10 + 640 * 360 * 25, DECLARED)


def test_without_profiles_it_means_the_defaults_of_a_gateway(probe: RunningProbe) -> None:
    used = probe.run(pushed(probe.tools, segment("ts", "25").data))
    assert pixels(used) == ((426 * 240 + 640 * 360) * 30, ESTIMATED)


@pytest.mark.parametrize("cut", [0, 10, -1, -30])
def test_a_response_that_was_cut_is_not_complete(cut: int, probe: RunningProbe) -> None:
    response = PRESETS[: cut - 2 if cut < 0 else cut] or b"\r\n"
    assert not probe.run(pushed(probe.tools, segment("ts", "25").data, response)).complete


def test_a_response_without_renditions_is_no_work(probe: RunningProbe) -> None:
    assert probe.run(pushed(probe.tools, segment("ts", "25").data, multipart())) == Usage(complete=False)


def test_renditions_that_came_before_the_cut_can_be_charged(probe: RunningProbe) -> None:
    second = PRESETS.rindex(b"--b0undary\r\n")
    used = probe.run(pushed(probe.tools, segment("ts", "25").data, PRESETS[:second]))
    assert times(used) == (1000, MEASURED)
    assert (used.complete, Unit.REQUESTS in used.units) == (False, False)


@pytest.mark.parametrize(("status", "complete"), [(0, False), (403, True), (422, True), (500, False), (503, False)])
def test_other_responses_use_nothing(status: int, complete: bool, probe: RunningProbe) -> None:
    work = pushed(probe.tools, segment("ts", "25").data, b"text", headers=[], status=status)
    assert probe.run(work) == Usage(complete=complete)


def test_an_encoded_response_means_the_renditions_of_the_plan(probe: RunningProbe) -> None:
    encoded = [*MULTIPART, (b"content-encoding", b"gzip")]
    used = probe.run(pushed(probe.tools, segment("ts", "25").data, b"\x1f\x8b", headers=encoded, profiles=[LARGE]))
    assert times(used) == (1000, MEASURED)


@pytest.mark.ci
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_chunking_of_the_response_says_the_same(probe: RunningProbe, data: st.DataObject) -> None:
    body = segment("ts", "25").data
    response = multipart(("a", "video/MP2T", body), ("P240p30fps16x9", "video/MP2T", b"--b0undar\r\n--b0undar\r"))
    expected = probe.run(pushed(probe.tools, body, response))
    assert probe.run(pushed(probe.tools, body, data.draw(cuts(response)))) == expected


def test_response_byte_by_byte(probe: RunningProbe) -> None:
    body = segment("ts", "25").data
    response = multipart(("a", "video/MP2T", body), ("b", LINK, b"url"))
    pieces = [response[at : at + 1] for at in range(len(response))]
    assert probe.run(pushed(probe.tools, body, pieces)) == probe.run(pushed(probe.tools, body, response))


@pytest.mark.parametrize("boundary", [b"b0undary", b'"b0undary"', b"b0undary; charset=utf-8"])
def test_boundary_as_types_write_it(boundary: bytes, probe: RunningProbe) -> None:
    headers = [(b"content-type", b"Multipart/Mixed; boundary=" + boundary)]
    assert probe.run(pushed(probe.tools, b"", PRESETS, headers=headers)).complete


def test_multipart_without_a_boundary_names_no_renditions(probe: RunningProbe) -> None:
    used = probe.run(pushed(probe.tools, b"", PRESETS, headers=[(b"content-type", b"multipart/mixed")]))
    assert used == probe.run(pushed(probe.tools, b""))
