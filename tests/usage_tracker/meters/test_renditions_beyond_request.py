"""A gateway that returns more than the plan's profiles: counted as requested, flagged, and known to cost more."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.workloads import Unit
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.media_probe import MediaMeasure, MediaTools
from proxy.media_probe.spool import SpoolFolder
from tests.usage_tracker.meters.pushes import MeasuredAs, pushed, video
from tests.usage_tracker.meters.segments import multipart

SEGMENT = b"a segment"
SMALL = {"name": "small", "width": 320, "height": 180, "bitrate": 200_000, "fps": 10}
LARGE = {"name": "large", "width": 640, "height": 360, "bitrate": 900_000}
MEASURES = {
    SEGMENT: video(1_000, 25),
    b"s": video(1_000, 10, 320, 180),
    b"l": video(1_000, 25, 640, 360),
    b"x": video(1_000, 60, 1920, 1080),
}
TS = "video/mp2t"


async def returned(tmp_path: Path, *parts: tuple[str, str, bytes], **measures: MediaMeasure) -> Usage:
    """Return the usage of a segment for which two renditions were requested and these came."""
    known = MEASURES | {name.encode(): measure for name, measure in measures.items()}
    tools = MediaTools(SpoolFolder(tmp_path), MeasuredAs(known))
    return await pushed(tools, SEGMENT, multipart(*parts), profiles=[SMALL, LARGE])


@pytest.mark.parametrize("extra", [("dear", TS, b"x"), ("large", TS, b"x"), ("P1080p60fps16x9", TS, b"x")])
async def test_rendition_that_nobody_requested(extra: tuple[str, str, bytes], tmp_path: Path) -> None:
    used = await returned(tmp_path, ("small", TS, b"s"), ("large", TS, b"l"), extra)
    assert used.units == {Unit.MILLISECONDS: 2_000, Unit.PIXELS: 320 * 180 * 10 + 640 * 360 * 25, Unit.REQUESTS: 1}
    assert used.attention
    assert used.network[Unit.PIXELS] == used.units[Unit.PIXELS] + 1920 * 1080 * 60, "paid for all the same"


async def test_rendition_that_nobody_requested_comes_first(tmp_path: Path) -> None:
    used = await returned(tmp_path, ("dear", TS, b"x"), ("large", TS, b"l"), ("small", TS, b"s"))
    assert used.units[Unit.PIXELS] == 320 * 180 * 10 + 640 * 360 * 25
    assert used.attention


async def test_renditions_without_their_names_are_those_that_were_requested(tmp_path: Path) -> None:
    used = await returned(tmp_path, ("", TS, b"s"), ("", TS, b"l"))
    assert used.units[Unit.PIXELS] == 320 * 180 * 10 + 640 * 360 * 25
    assert not used.attention


@pytest.mark.parametrize("measure", [video(1_000, 10, 1920, 1080), video(1_000, 240, 320, 180)])
async def test_rendition_that_is_larger_or_faster_than_requested(measure: MediaMeasure, tmp_path: Path) -> None:
    used = await returned(tmp_path, ("small", TS, b"y"), y=measure)
    assert used.units[Unit.PIXELS] <= 321 * 321 * 20
    assert used.attention
    assert used.network[Unit.PIXELS] > used.units[Unit.PIXELS]


async def test_rendition_of_a_square_source_is_no_more_than_requested(tmp_path: Path) -> None:
    used = await returned(tmp_path, ("small", TS, b"y"), y=video(1_000, 11, 320, 320))
    assert (used.units[Unit.PIXELS], used.attention) == (320 * 320 * 11, False)


async def test_without_profiles_the_gateways_own_configuration_decides(tmp_path: Path) -> None:
    tools = MediaTools(SpoolFolder(tmp_path), MeasuredAs(MEASURES))
    used = await pushed(tools, SEGMENT, multipart(("a", TS, b"s"), ("b", TS, b"x")))
    assert used.units[Unit.PIXELS] == 320 * 180 * 10 + 1920 * 1080 * 60
    assert not used.attention
