"""Segment push: which duration is believed, which renditions are counted, and how large they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.transcoding import Transcoding
from config.workloads import Unit
from middlewares.exchange import Headers
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.transcoding import TranscodingMeter
from tests.usage_tracker.meters.meter_runs import cuts
from tests.usage_tracker.meters.segments import multipart, segment

MULTIPART: Headers = [(b"content-type", b"multipart/mixed; boundary=b0undary")]
SMALL = {"name": "small", "width": 320, "height": 180, "bitrate": 200_000, "fps": 10}
LARGE = {"name": "large", "width": 640, "height": 360, "bitrate": 900_000}
PRESETS = multipart(("P240p30fps16x9", "video/MP2T", b"no media"), ("P360p30fps16x9", "video/MP2T", b"no media"))
MEASURED, UPSTREAM, DECLARED, ESTIMATED = Provenance


def pushed(
    body: bytes,
    response: bytes | list[bytes] = b"",
    *,
    headers: Headers | None = None,
    content_duration: str | None = None,
    status: int = 200,
    **transcoding: Any,
) -> Usage:
    """Usage of a push; the response is multipart unless it is empty."""
    said = [] if content_duration is None else [(b"content-duration", content_duration.encode())]
    meter = TranscodingMeter(Transcoding.model_validate(transcoding), said)
    meter.request_body(body)
    meter.response_start(status, headers if headers is not None else MULTIPART if response else [])
    for piece in [response] if isinstance(response, bytes) else response:
        meter.response_body(piece)
    return meter.usage()


def times(usage: Usage) -> tuple[int, Provenance]:
    return usage.units[Unit.MILLISECONDS], usage.provenance[Unit.MILLISECONDS]


def pixels(usage: Usage) -> tuple[int, Provenance]:
    return usage.units[Unit.PIXELS], usage.provenance[Unit.PIXELS]


@pytest.mark.parametrize("container", ["ts", "mp4"])
@pytest.mark.parametrize("forged", [None, "1", "0", "-5", "2000", "99999999", "NaN", "9" * 40, "\xb2"])
def test_the_segment_itself_says_how_long_it_is(container: str, forged: str | None) -> None:
    used = pushed(segment(container, "25").data, PRESETS, content_duration=forged, trust_content_duration=True)
    assert times(used) == (2 * 1000, MEASURED)
    assert used.complete


def test_one_kind_of_media_under_the_name_of_the_other_is_no_disguise() -> None:
    """The meter never asks for the extension."""
    assert times(pushed(segment("mp4", "25").data, PRESETS)) == times(pushed(segment("ts", "25").data, PRESETS))


@pytest.mark.parametrize(
    ("said", "trusted", "expected"),
    [
        ("4000", True, (8_000, DECLARED)),
        ("4000", False, (4_000, ESTIMATED)),
        (None, True, (4_000, ESTIMATED)),
        ("junk", True, (4_000, ESTIMATED)),
        ("0", True, (4_000, ESTIMATED)),
        ("999999999", True, (600_000, DECLARED)),
    ],
)
def test_a_segment_that_cannot_be_read(said: str | None, trusted: bool, expected: tuple[int, Provenance]) -> None:
    used = pushed(b"no media at all", PRESETS, content_duration=said, trust_content_duration=trusted)
    assert times(used) == expected


def test_renditions_give_the_duration_of_a_segment_that_cannot_be_read() -> None:
    made = segment("ts", "25", seconds="2").data
    used = pushed(b"?", multipart(("x", "video/MP2T", made)), content_duration="1", trust_content_duration=True)
    assert times(used) == (2_000, UPSTREAM)


def test_renditions_are_as_large_as_their_media_say() -> None:
    parts = multipart(
        ("P720p60fps16x9", "video/MP2T", segment("ts", "25").data), ("y", "video/mp4", segment("mp4", "24").data)
    )
    used = pushed(segment("ts", "30").data, parts)
    assert times(used) == (2 * 1000, MEASURED)
    assert pixels(used) == (160 * 90 * (25 + 24), UPSTREAM)


@pytest.mark.parametrize(
    ("name", "size", "rate"),
    [
        ("P144p30fps16x9", 256 * 144, 30),
        ("P240p30fps16x9", 426 * 240, 30),
        ("P240p25fps4x3", 320 * 240, 25),
        ("P360p30fps16x9", 640 * 360, 30),
        ("P576p25fps16x9", 1024 * 576, 25),
        ("P720p60fps16x9", 1280 * 720, 60),
        ("P720p30fps4x3", 960 * 720, 30),
        ("webhook_854x480_1600000", 854 * 480, 25),
        ("small", 320 * 180, 10),
        ("large", 640 * 360, 25),
    ],
)
def test_renditions_that_are_linked_are_as_large_as_their_names_say(name: str, size: int, rate: int) -> None:
    link = multipart((name, "application/vnd+livepeer.uri", b"https://store.example/0.ts"))
    used = pushed(segment("ts", "25").data, link, profiles=[SMALL, LARGE])
    assert times(used) == (1000, MEASURED)
    assert pixels(used) == (size * rate, UPSTREAM)


@pytest.mark.parametrize("name", ["", "who knows", "P0p00fps0x0", "P720p30fps16x0", "webhook_1x1"])
def test_a_rendition_of_unknown_size_is_not_free(name: str) -> None:
    used = pushed(segment("ts", "25").data, multipart((name, "application/vnd+livepeer.uri", b"u")))
    assert pixels(used) == (1280 * 720 * 25, ESTIMATED)


def test_a_response_that_names_no_renditions_means_those_of_the_plan() -> None:
    used = pushed(segment("ts", "25").data, profiles=[SMALL, LARGE])
    assert times(used) == (2 * 1000, MEASURED)
    assert pixels(used) == (320 * 180 * 10 + 640 * 360 * 25, DECLARED)


def test_without_profiles_it_means_the_defaults_of_a_gateway() -> None:
    used = pushed(segment("ts", "25").data)
    assert pixels(used) == ((426 * 240 + 640 * 360) * 30, ESTIMATED)


@pytest.mark.parametrize("cut", [0, 10, -1, -30])
def test_a_response_that_was_cut_is_not_complete(cut: int) -> None:
    assert not pushed(segment("ts", "25").data, PRESETS[: cut - 2 if cut < 0 else cut] or b"\r\n").complete


def test_a_response_without_renditions_is_no_work() -> None:
    assert pushed(segment("ts", "25").data, multipart()) == Usage(complete=False)


def test_renditions_that_came_before_the_cut_can_be_charged() -> None:
    second = PRESETS.rindex(b"--b0undary\r\n")
    used = pushed(segment("ts", "25").data, PRESETS[:second])
    assert times(used) == (1000, MEASURED)
    assert (used.complete, Unit.REQUESTS in used.units) == (False, False)


@pytest.mark.parametrize(("status", "complete"), [(0, False), (403, True), (422, True), (500, False), (503, False)])
def test_other_responses_use_nothing(status: int, complete: bool) -> None:
    assert pushed(segment("ts", "25").data, b"text", headers=[], status=status) == Usage(complete=complete)


def test_an_encoded_response_means_the_renditions_of_the_plan() -> None:
    used = pushed(
        segment("ts", "25").data, b"\x1f\x8b", headers=[*MULTIPART, (b"content-encoding", b"gzip")], profiles=[LARGE]
    )
    assert times(used) == (1000, MEASURED)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_chunking_of_the_response_says_the_same(data: st.DataObject) -> None:
    body = segment("ts", "25").data
    response = multipart(("a", "video/MP2T", body), ("P240p30fps16x9", "video/MP2T", b"--b0undar\r\n--b0undar\r"))
    assert pushed(body, data.draw(cuts(response))) == pushed(body, response)


def test_response_byte_by_byte() -> None:
    body = segment("ts", "25").data
    response = multipart(("a", "video/MP2T", body), ("b", "application/vnd+livepeer.uri", b"url"))
    assert pushed(body, [response[at : at + 1] for at in range(len(response))]) == pushed(body, response)


@pytest.mark.parametrize("boundary", [b"b0undary", b'"b0undary"', b"b0undary; charset=utf-8"])
def test_boundary_as_types_write_it(boundary: bytes) -> None:
    headers = [(b"content-type", b"Multipart/Mixed; boundary=" + boundary)]
    assert pushed(b"", PRESETS, headers=headers).complete


def test_multipart_without_a_boundary_names_no_renditions() -> None:
    assert pushed(b"", PRESETS, headers=[(b"content-type", b"multipart/mixed")]) == pushed(b"")
