"""Damaged media ends nothing, takes no more than its share, and is never billed below what of it decodes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from middlewares.gateway_facts import LONGEST_SEGMENT_MS
from middlewares.ledger.model import Usage
from middlewares.usage_tracker.media_probe import MediaKind, MediaMeasure, Verdict
from proxy.media_probe.video import FASTEST
from tests.media_probe.ffmpeg import needs_ffmpeg, picture, sound
from tests.media_probe.running import RunningProbe
from tests.usage_tracker.meters.pushes import pixels, pushed, times
from tests.usage_tracker.meters.segments import multipart

pytestmark = needs_ffmpeg

SOUNDS = {
    "a.mp3": "-c:a libmp3lame -b:a 32k",
    "b.aac": "-c:a aac -b:a 32k",
    "c.m4a": "-c:a aac -b:a 32k",
    "d.mp4": "-c:a aac -b:a 32k -movflags +frag_keyframe+empty_moov -frag_duration 300000",
    "e.ogg": "-c:a libvorbis",
    "f.opus": "-c:a libopus -b:a 16k",
    "g.webm": "-c:a libopus -b:a 16k",
    "h.wav": "-c:a pcm_s16le -ar 8000",
    "i.flac": "-c:a flac -ar 8000",
    "j.mka": "-c:a ac3",
    "k.caf": "-c:a alac -ar 8000",
}
SMALL = "-c:v libx264 -preset ultrafast -bf 2 -g 10"
SEGMENTS = {
    "l.ts": SMALL,
    "m.mp4": SMALL,
    "n.mkv": SMALL,
    "o.flv": SMALL,
    "p.ts": "-c:v libx265 -preset ultrafast -x265-params log-level=none",
    "q.webm": "-c:v libvpx -deadline realtime -cpu-used 8",
    "r.mp4": f"{SMALL} -flags +ildct+ilme -x264-params tff=1",
}
LIMIT_BYTES = 2**29
PROFILE: dict[str, Any] = {"name": "small", "width": 96, "height": 64, "bitrate": 1}
SMALLEST = 2 * 64
"""Pixels of the smallest picture that any source is scaled to by that profile."""


class Reference:
    """The reference decoder, in a process that is started again when a body ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def decoded(self, path: Path) -> dict[str, int] | None:
        """Return what decodes of `path`; None where decoding it ends the decoder or takes too long."""
        if self._process is None:
            command = [sys.executable, str(Path(__file__).parent / "reference.py")]
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        readable, _, _ = select.select([process.stdout], [], [], 20)
        line = process.stdout.readline() if readable else b""
        if not line:
            self.close()
            return None
        found: dict[str, int] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small files of many kinds."""
    folder = tmp_path_factory.mktemp("originals")
    made = {name: sound(folder / name, *options.split(), seconds=1.5) for name, options in SOUNDS.items()}
    for name, options in SEGMENTS.items():
        made[name] = picture(folder / name, *options.split(), seconds=1, size="96x64", rate="25")
    return made


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    """A running reference decoder."""
    reference = Reference()
    yield reference
    reference.close()


def mutated(body: bytes, chance: random.Random) -> bytes:
    """Return `body` with one to four of: flipped bits, other bytes, a part cut, doubled, moved, or the end missing."""
    changed = bytearray(body)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        size = len(changed)
        # Headers are where the mischief is: half of the changes are near the start or the end.
        place = chance.choice((0, size // 2, size - 1, chance.randrange(size), chance.randrange(size)))
        at = min(size - 1, max(0, place + chance.randrange(-600, 600)))
        length = chance.choice((1, 1, 4, 16, 200, 2000))
        way = chance.randrange(7)
        if way == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            changed[at : at + 1] = bytes((chance.choice((0, 1, 0x7F, 0x80, 0xFF)),))
        elif way == 2:
            changed[at : at + 4] = chance.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(4, "big")
        elif way == 3:
            del changed[at : at + length]
        elif way == 4:
            changed[at:at] = changed[at : at + length]
        elif way == 5:
            changed[at : at + length] = chance.randbytes(length)
        else:
            del changed[max(1, at) :]
        if not changed:
            return body
    return bytes(changed)


def assert_no_less(found: MediaMeasure, decoded: dict[str, int], kind: MediaKind, path: Path) -> None:
    """What was measured is no less than what decodes; a probe that gave up says so."""
    if found.verdict is Verdict.GAVE_UP:
        return
    if kind is MediaKind.AUDIO:
        assert found.milliseconds >= decoded["milliseconds"], path
    else:
        frames = max((track.frames for track in found.video), default=0)
        assert frames >= decoded["frames"], path
        assert all(track.milliseconds >= track.frames * 1000 / 121 for track in found.video), path


def assert_sold_no_less(sold: Usage, decoded: dict[str, int], path: Path) -> None:
    """What is sold of a segment is no less than the frames of it that decode, at the fastest rate that is believed."""
    (milliseconds, _), (area, _) = times(sold), pixels(sold)
    assert sold.complete
    assert milliseconds >= min(decoded["frames"] * 1000 // FASTEST, LONGEST_SEGMENT_MS), path
    assert area >= decoded["frames"] * SMALLEST, path


def pushed_as(number: int, body: bytes, probe: RunningProbe) -> Usage:
    """Push `body`, or have it come back as the rendition of a segment that cannot be read, by turns."""
    if number % 2:
        return probe.run(pushed(probe.tools, body, profiles=[PROFILE]))
    return probe.run(pushed(probe.tools, b"?", multipart((PROFILE["name"], "video/mp2t", body)), profiles=[PROFILE]))


def campaign(
    count: int, seed: int, probe: RunningProbe, originals: dict[str, bytes], reference: Reference, folder: Path
) -> None:
    """Measure `count` damaged files, by two at a time of each kind; keep those that fail in `folder`."""
    chance = random.Random(seed)
    before = psutil.Process().memory_info().rss
    ended = 0
    for number in range(count):
        name = chance.choice(list(originals))
        kind = MediaKind.AUDIO if name in SOUNDS else MediaKind.SEGMENT
        body = mutated(originals[name], chance)
        path = folder / f"{number}-{name}"
        path.write_bytes(body)
        pids = probe.pool.pids
        found = probe.measure(body, kind)
        ended += bool(pids) and probe.pool.pids != pids
        assert found.verdict is not Verdict.NOT_MEASURED, path
        sold = pushed_as(number, body, probe) if kind is MediaKind.SEGMENT else None
        decoded = reference.decoded(path)
        if decoded is not None:
            assert_no_less(found, decoded, kind, path)
            if sold is not None:
                assert_sold_no_less(sold, decoded, path)
        for pid in probe.pool.pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                assert psutil.Process(pid).memory_info().vms <= LIMIT_BYTES
        path.unlink()
    assert ended <= count / 100, "probe processes end too often"
    assert psutil.Process().memory_info().rss - before < 64 * 2**20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mutations(probe: RunningProbe, originals: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    campaign(300, 1, probe, originals, reference, tmp_path)


@pytest.mark.fuzz
def test_many_mutations(probe: RunningProbe, originals: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    count = int(os.environ.get("TOLLGATE_TEST_MUTATIONS", "20000"))
    seed = int(os.environ.get("TOLLGATE_TEST_SEED", "2"))
    campaign(count, seed, probe, originals, reference, tmp_path)
