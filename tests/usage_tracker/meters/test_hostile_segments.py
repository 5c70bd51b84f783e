"""Segments and responses made to break a reader: never an exception, bounded memory, and an honest provenance."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

import pytest

from config.transcoding import Transcoding
from config.workloads import Unit
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.media.mp4 import BOX_BYTES, MOST_BOXES
from middlewares.usage_tracker.meters.renditions import Media
from middlewares.usage_tracker.meters.transcoding import LONGEST_MS, TranscodingMeter
from tests.usage_tracker.meters.segments import multipart, segment

FILES = 10_000
PIECE = 16_384
KEPT = 3 * BOX_BYTES
"""The most that reading may take at a time: a box, its copy, and small change."""
TRUSTING = Transcoding(trust_content_duration=True)
DECLARED = [(b"content-duration", b"1234")]
KNOWN = {Provenance.MEASURED, Provenance.DECLARED}


def originals() -> list[bytes]:
    """A few KiB of each kind."""
    tiny = {"seconds": "0.2", "size": "32x32"}
    return [
        segment("ts", "25", **tiny).data,
        segment("ts", "25", sound=False, **tiny).data,
        segment("mp4", "25", **tiny).data,
        segment("mp4", "25", "-movflags", "frag_keyframe+empty_moov", **tiny).data,
    ]


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Files that were real: bytes changed, pieces cut out, doubled, moved or filled, the end cut off."""
    dice = random.Random(seed)
    files = originals()
    for _ in range(count):
        data = bytearray(dice.choice(files))
        for _ in range(dice.randint(1, 8)):
            start = dice.randrange(len(data)) if data else 0
            stop = min(len(data), start + dice.choice((1, 2, 4, 8, 188, 1000)))
            match dice.randrange(6):
                case 0:
                    data[start:stop] = dice.randbytes(stop - start)
                case 1:
                    del data[start:stop]
                case 2:
                    data[start:start] = data[start:stop]
                case 3:
                    data[start:stop] = bytes((dice.choice((0, 1, 0x47, 0xFF)),)) * (stop - start)
                case 4:
                    data[start:start] = dice.choice((b"moov", b"trun", b"\0\0\0\1", b"\0\0\1\xe0", b"G@\0\x10"))
                case _:
                    del data[start + dice.randrange(1 << 16) :]
        yield bytes(data)


def pushed(body: bytes, response: bytes = b"") -> Usage:
    meter = TranscodingMeter(TRUSTING, DECLARED)
    for start in range(0, len(body), PIECE):
        meter.request_body(body[start : start + PIECE])
    meter.response_start(200, [(b"content-type", b"multipart/mixed; boundary=b0undary")] if response else [])
    meter.response_body(response)
    return meter.usage()


def test_mutated_segments() -> None:
    found = set()
    for body in mutations(1, FILES):
        used = pushed(body)
        source = used.provenance[Unit.MILLISECONDS]
        assert 0 <= used.units[Unit.MILLISECONDS] <= 2 * LONGEST_MS
        assert source in KNOWN
        assert (source is Provenance.DECLARED) == (Unit.MILLISECONDS in used.units and measured(body) is None)
        found.add(source)
    assert found == KNOWN


def measured(body: bytes) -> int | None:
    media = Media()
    media.feed(body)
    return media.milliseconds()


def test_mutated_responses() -> None:
    dice = random.Random(2)
    for body in mutations(3, FILES // 10):
        response = bytearray(multipart(("a", "video/MP2T", body), ("P240p30fps16x9", "video/mp4", body)))
        for _ in range(4):
            at = dice.randrange(len(response))
            response[at : at + dice.randrange(3)] = dice.choice((b"\r\n", b"--", b"--b0undary", b":", b""))
        used = pushed(b"", bytes(response))
        assert all(count >= 0 for count in used.units.values())


def box(kind: bytes, payload: bytes, size: int | None = None) -> bytes:
    return (8 + len(payload) if size is None else size).to_bytes(4) + kind + payload


def packet(pid: int, payload: bytes, *, begins: bool = True) -> bytes:
    return bytes((0x47, begins << 6 | pid >> 8, pid & 0xFF, 0x10)) + payload.ljust(184, b"\xff")


HOSTILE = {
    "a box that is never whole": box(b"moov", box(b"trak", box(b"stts", b"\0" * 8, BOX_BYTES))),
    "a table as long as the file": box(b"moov", box(b"trak", box(b"stts", b"\0\0\0\0\xff\xff\xff\xff", 2**32 - 1))),
    "a box of sixty-four bits": b"\0\0\0\1moov" + b"\xff" * 8,
    "boxes in boxes": box(b"moov", b"") * 20_000,
    "tracks without end": box(
        b"moov", b"".join(box(b"trak", box(b"tkhd", bytes(8) + i.to_bytes(8))) for i in range(20_000))
    ),
    "nothing but sync bytes": b"G" * 300_000,
    "a programme table without end": packet(0, b"\0\0\xb3\xfd" + b"\0\1\xe1\0" * 45)
    + packet(0, b"", begins=False) * 500,
    "streams without end": b"".join(packet(pid, b"\0\0\1\xe0\0\0\x80") for pid in range(1, 8191)),
    "starts that are cut": b"".join(packet(pid, b"")[:5] + packet(pid, b"\0\0\1")[5:] for pid in range(1, 8191)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_is_bounded(name: str) -> None:
    body = HOSTILE[name] + bytes(1_000_000)
    pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
    media = Media()
    tracemalloc.start()
    try:
        for piece in pieces:
            media.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < KEPT
    media.milliseconds()


def test_a_head_of_a_part_without_end_is_not_kept() -> None:
    meter = TranscodingMeter(TRUSTING, DECLARED)
    meter.response_start(200, [(b"content-type", b"multipart/mixed; boundary=b0undary")])
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


def test_a_table_too_long_to_read_does_not_make_its_movie_shorter() -> None:
    """Its media header is anybody's word: the duration is then not known, rather than what that says."""
    made = segment("mp4", "25", "-movflags", "+faststart", sound=False).data
    at = made.index(b"stts") - 4
    assert measured(made) == 1000
    assert measured(made[:at] + (BOX_BYTES + 1).to_bytes(4) + made[at + 4 :]) is None


def test_boxes_without_end_are_not_read_for_ever() -> None:
    made = segment("mp4", "25", "-movflags", "+faststart", sound=False).data
    assert measured(made + box(b"moov", b"") * MOST_BOXES) is None
