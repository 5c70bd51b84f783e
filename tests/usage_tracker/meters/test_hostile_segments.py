"""Responses to segments that are made to break a reader: never an exception, bounded memory, believable counts."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from config.transcoding import Transcoding
from config.workloads import Unit
from middlewares.gateway_facts import LONGEST_SEGMENT_MS
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.media_probe import MediaTools
from middlewares.usage_tracker.meters.renditions import PARTS_KEPT
from middlewares.usage_tracker.meters.transcoding import TranscodingMeter
from proxy.media_probe.spool import SpoolFolder
from tests.usage_tracker.meters.pushes import MULTIPART, MeasuredAs, pushed, video
from tests.usage_tracker.meters.segments import multipart

RESPONSES = 3_000
PIECE = 16_384
KEPT = 256 * 1024


@pytest.mark.slow
async def test_mutated_responses(tmp_path: Path) -> None:
    chance = random.Random(2)
    spools = SpoolFolder(tmp_path)
    tools = MediaTools(spools, MeasuredAs({b"made": video(1_000, 25)}))
    for _ in range(RESPONSES):
        response = bytearray(
            multipart(
                ("a", "video/MP2T", b"made"),
                ("P240p30fps16x9", "video/mp4", chance.randbytes(500)),
                ("b", "application/vnd+livepeer.uri", b"http://127.0.0.1/x"),
            )
        )
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(response))
            new = chance.choice((b"\r\n", b"--", b"--b0undary", b"--b0undary--", b":", b"", b"\0"))
            response[at : at + chance.randrange(3)] = new
        used = await pushed(tools, b"?", bytes(response))
        assert all(count >= 0 for count in used.units.values())
        assert used.units.get(Unit.MILLISECONDS, 0) <= PARTS_KEPT * LONGEST_SEGMENT_MS
    assert spools.kept == 0


def test_a_head_of_a_part_without_end_is_not_kept() -> None:
    meter = TranscodingMeter(Transcoding(), 1_000, [], None)
    meter.response_start(200, MULTIPART)
    tracemalloc.start()
    try:
        meter.response_body(b"--b0undary\r\n")
        for _ in range(200):
            meter.response_body(b"x" * PIECE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < KEPT
    assert meter.usage() == Usage(complete=False)


@pytest.mark.parametrize("count", [PARTS_KEPT, PARTS_KEPT + 1, 5_000])
async def test_parts_without_end_are_not_measured_without_end(count: int, tmp_path: Path) -> None:
    probe = MeasuredAs({b"made": video(1_000, 25)})
    spools = SpoolFolder(tmp_path)
    used = await pushed(MediaTools(spools, probe), b"", multipart(*[("a", "video/mp2t", b"made")] * count))
    assert len(probe.asked) == PARTS_KEPT
    assert used.units[Unit.MILLISECONDS] == PARTS_KEPT * 1_000
    assert used.attention is (count > PARTS_KEPT)
    assert spools.kept == 0


async def test_a_part_that_never_ends_stays_within_the_spool(tmp_path: Path) -> None:
    spools = SpoolFolder(tmp_path, kept_bytes=100_000)
    response = [b'--b0undary\r\nContent-Type: video/mp2t; name="a"\r\n\r\n', *[bytes(PIECE)] * 100]
    used = await pushed(MediaTools(spools, MeasuredAs()), b"?", response)
    assert not used.complete
    assert spools.kept == 0
