"""Each kind of file that was read wrongly once is right within one frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from middlewares.ledger.model import Provenance
from middlewares.usage_tracker.media_probe import MediaKind, Verdict
from tests.media_probe.running import RunningProbe
from tests.usage_tracker.meters.pushes import pixels, pushed, times, transcribed

PROFILES = [{"name": name, "width": 320, "height": 180, "bitrate": 200_000} for name in ("a", "b")]
CASES = Path(__file__).parent / "cases"
TRUTH: dict[str, dict[str, Any]] = json.loads((CASES / "truth.json").read_text())


def test_every_file_has_its_truth() -> None:
    media = {path.name for path in CASES.iterdir()} - {"README.md", "truth.json"}
    assert media == set(TRUTH)
    readme = (CASES / "README.md").read_text()
    assert all(f"| {name} |" in readme for name in media)


@pytest.mark.parametrize("name", TRUTH)
def test_case(name: str, probe: RunningProbe) -> None:
    truth = TRUTH[name]
    found = probe.measure((CASES / name).read_bytes(), MediaKind(truth["kind"]))
    assert found.verdict is Verdict.MEASURED
    assert abs(found.milliseconds - truth["milliseconds"]) <= truth["frame"]
    if "frames" in truth:
        assert [track.frames for track in found.video] == [truth["frames"]]


@pytest.mark.parametrize("name", TRUTH)
def test_case_as_it_is_sold(name: str, probe: RunningProbe) -> None:
    """Through the meter of its kind; a segment with two profiles counts twice."""
    truth = TRUTH[name]
    body = (CASES / name).read_bytes()
    if truth["kind"] == "audio":
        (milliseconds, source), renditions = times(probe.run(transcribed(probe.tools, body))), 1
    else:
        used = probe.run(pushed(probe.tools, body, profiles=PROFILES, content_duration="1"))
        (milliseconds, source), renditions = times(used), len(PROFILES)
        assert pixels(used)[0] >= truth["frames"] * 2 * 320 * 180
    assert source is Provenance.MEASURED
    assert abs(milliseconds / renditions - truth["milliseconds"]) <= truth["frame"]


def test_a_forged_container_duration_is_reported_apart(probe: RunningProbe) -> None:
    found = probe.measure((CASES / "m4a-forged-timescale.m4a").read_bytes())
    assert found.container_milliseconds == 60
