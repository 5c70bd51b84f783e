"""Segments that are not, or not wholly, measured: what stands in for it, and that no way of it makes one cheap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from middlewares.gateway_facts import LONGEST_SEGMENT_MS
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, MediaTools, Verdict
from middlewares.usage_tracker.meters.renditions import scaled
from proxy.media_probe.spool import SpoolFolder
from proxy.mock_gateway import video as mock_video
from tests.usage_tracker.meters.pushes import NOTHING, MeasuredAs, pixels, pushed, times, video
from tests.usage_tracker.meters.segments import multipart

MEASURED, UPSTREAM, DECLARED, ESTIMATED = Provenance
SEGMENT = b"a segment"
LARGE = {"name": "large", "width": 640, "height": 360, "bitrate": 900_000}
SMALL = {"name": "small", "width": 320, "height": 180, "bitrate": 200_000, "fps": 10}
GAVE_UP, UNREADABLE = MediaMeasure(Verdict.GAVE_UP), MediaMeasure(Verdict.UNREADABLE)


@pytest.fixture
def spools(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path, kept_bytes=1 << 20)


@pytest.mark.parametrize(
    ("measure", "said", "trusted", "expected"),
    [
        (NOTHING, None, False, (2_000, ESTIMATED)),
        (NOTHING, "4000", False, (2_000, ESTIMATED)),
        (NOTHING, "4000", True, (4_000, DECLARED)),
        (NOTHING, "junk", True, (2_000, ESTIMATED)),
        (NOTHING, "0", True, (2_000, ESTIMATED)),
        (NOTHING, "999999999", True, (LONGEST_SEGMENT_MS, DECLARED)),
        (UNREADABLE, "1", True, (1, DECLARED)),
        (video(9_000, 225, verdict=Verdict.GAVE_UP), "4000", True, (9_000, DECLARED)),
        (video(9_000, 225, verdict=Verdict.GAVE_UP), None, False, (9_000, ESTIMATED)),
        (video(10**9, 225), None, False, (LONGEST_SEGMENT_MS, MEASURED)),
        (video(6, 60), "9999", True, (6, MEASURED)),
    ],
)
async def test_duration(
    measure: MediaMeasure, said: str | None, trusted: bool, expected: tuple[int, Provenance], spools: SpoolFolder
) -> None:
    tools = MediaTools(spools, MeasuredAs({SEGMENT: measure}))
    plan: dict[str, Any] = {"trust_content_duration": trusted, "profiles": [LARGE]}
    assert times(await pushed(tools, SEGMENT, content_duration=said, **plan)) == expected
    assert spools.kept == 0


@pytest.mark.parametrize(("claimed", "charged"), [(20_000, 20_000), (60, 9_000), (None, 9_000)])
async def test_a_segment_that_is_slow_to_decode_costs_what_it_says_of_itself(
    claimed: int | None, charged: int, spools: SpoolFolder
) -> None:
    body = bytes(2_000)
    measure = replace(video(9_000, 225, verdict=Verdict.GAVE_UP), claimed_milliseconds=claimed)
    used = await pushed(MediaTools(spools, MeasuredAs({body: measure})), body, profiles=[LARGE])
    assert times(used) == (charged, ESTIMATED)
    assert used.attention


async def test_a_segment_that_was_not_kept_lasts_as_long_as_its_size_suggests(tmp_path: Path) -> None:
    """Whoever fills the spool pays no less for it."""
    tools = MediaTools(SpoolFolder(tmp_path, kept_bytes=1_000), MeasuredAs())
    used = await pushed(tools, bytes(9_000), profiles=[LARGE])
    assert times(used) == (9_000, ESTIMATED)
    assert pixels(used) == (640 * 360 * 9 * 60, ESTIMATED)
    assert times(await pushed(None, bytes(9_000), profiles=[LARGE])) == (9_000, ESTIMATED)


@pytest.mark.parametrize("verdict", [Verdict.NOT_MEASURED, Verdict.UNREADABLE, Verdict.GAVE_UP])
async def test_a_rendition_that_was_not_measured_has_its_profiles_size_in_the_segments_shape(
    verdict: Verdict, spools: SpoolFolder
) -> None:
    measures = {SEGMENT: video(1_000, 25, 400, 400), b"made": MediaMeasure(verdict)}
    response = multipart(("large", "video/MP2T", b"made"))
    used = await pushed(MediaTools(spools, MeasuredAs(measures)), SEGMENT, response, profiles=[LARGE])
    assert pixels(used) == (640 * 640 * 25, UPSTREAM)


async def test_the_shape_of_a_segment_that_cannot_be_read_is_that_of_a_rendition(spools: SpoolFolder) -> None:
    measures = {b"made": video(1_000, 10, 320, 240)}
    response = multipart(("small", "video/MP2T", b"made"), ("large", "application/vnd+livepeer.uri", b"u"))
    used = await pushed(MediaTools(spools, MeasuredAs(measures)), SEGMENT, response, profiles=[SMALL, LARGE])
    assert times(used) == (2_000, UPSTREAM)
    assert pixels(used) == (320 * 240 * 10 + 640 * 480 * 60, ESTIMATED)


async def test_a_flat_track_beside_the_real_one_makes_no_rendition_flat(spools: SpoolFolder) -> None:
    real, flat = video(1_000, 25, 400, 400), video(1_000, 25, 16_384, 16)
    for tracks in (real.video + flat.video, flat.video + real.video):
        tools = MediaTools(spools, MeasuredAs({SEGMENT: MediaMeasure(Verdict.MEASURED, 1_000, None, tracks)}))
        assert pixels(await pushed(tools, SEGMENT, profiles=[LARGE])) == (640 * 640 * 25, DECLARED)


async def test_nothing_known_of_the_picture_is_an_estimate(spools: SpoolFolder) -> None:
    used = await pushed(MediaTools(spools, MeasuredAs({SEGMENT: MediaMeasure(Verdict.MEASURED, 3_000)})), SEGMENT)
    assert times(used) == (2 * 3_000, MEASURED)
    assert pixels(used) == ((426 * 240 + 640 * 360) * 90, ESTIMATED)


async def test_a_rendition_that_was_cut_off_counts_whole(spools: SpoolFolder) -> None:
    """The gateway had made all of them before it sent the first byte."""
    probe = MeasuredAs({SEGMENT: video(1_000, 25)})
    response = multipart(("large", "video/MP2T", b"made"))
    used = await pushed(MediaTools(spools, probe), SEGMENT, response[: response.index(b"made") + 2], profiles=[LARGE])
    assert (used.complete, pixels(used)) == (False, (640 * 360 * 25, UPSTREAM))
    assert probe.asked == [(MediaKind.SEGMENT, SEGMENT)]


async def test_each_body_is_measured_once_and_nothing_is_kept(spools: SpoolFolder) -> None:
    probe = MeasuredAs()
    response = multipart(("a", "video/mp2t", b"one"), ("b", "Video/MP4", b"two"), ("c", "text/plain", b"three"))
    await pushed(MediaTools(spools, probe), SEGMENT, response)
    assert probe.asked == [(MediaKind.SEGMENT, SEGMENT), (MediaKind.RENDITION, b"one"), (MediaKind.RENDITION, b"two")]
    assert spools.kept == 0


@pytest.mark.parametrize("source", [(1920, 1080), (320, 240), (400, 400), (240, 320), (1080, 1920), (16_384, 1)])
def test_scaled_is_what_gateways_do(source: tuple[int, int]) -> None:
    for profile in ((426, 240), (640, 360), (1280, 720), (854, 480)):
        assert scaled(profile, source) == mock_video.scaled(profile, source)


async def test_a_failure_uses_nothing_whatever_was_measured(spools: SpoolFolder) -> None:
    tools = MediaTools(spools, MeasuredAs({SEGMENT: video(1_000, 25)}))
    assert await pushed(tools, SEGMENT, status=503) == Usage(complete=False)
