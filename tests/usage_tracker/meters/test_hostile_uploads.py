"""Whatever is sent as a file: never an exception, never more memory than the peek, and the event says what was used."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from config.workloads import Unit, Workload
from middlewares.ledger.model import Provenance
from middlewares.usage_tracker.settlement import LARGEST_COUNT
from tests.usage_tracker.media import media_files
from tests.usage_tracker.meters.uploads import PLAN, RESPONSES, form, upload, upload_meter

MUTATED = 10_000
HEAD = 4_096
"""Bytes at both ends of a file that are worth a mutation."""
CHUNK = 65_536


def _files() -> list[tuple[Workload, bytes]]:
    return [(Workload.IMAGE_TO_TEXT, data[:20_000]) for data in media_files.pictures(64, 48).values()]


def _mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes of head or tail changed, or pieces of it cut out, doubled, or cut off."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(min(len(found), HEAD) or 1)
        place = chance.choice((place, place, len(found) - 1 - place, chance.randrange(64) % (len(found) or 1)))
        match chance.randrange(6):
            case 0 | 1:
                found[place : place + 1] = chance.randbytes(1)
            case 2:
                found[place : place + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
            case 3:
                del found[place : place + chance.randrange(64)]
            case 4:
                found[place:place] = found[place : place + chance.randrange(64)]
            case _:
                del found[max(place, 1) :]
    return bytes(found)


def _check(workload: Workload, file: bytes, chance: random.Random) -> None:
    body = form(file, prompt="p")
    cut = chance.randrange(len(body))
    found = upload(workload, [body[:cut], body[cut:]])
    unit = Unit.PIXELS
    assert found.complete
    assert 0 <= found.units[unit] <= LARGEST_COUNT
    if found.provenance[unit] is Provenance.ESTIMATED:
        assert found.units[unit] == PLAN.unreadable.image_pixels
    assert found.provenance[unit] in (Provenance.MEASURED, Provenance.ESTIMATED)


def _campaign(count: int, seed: int) -> None:
    chance = random.Random(seed)
    files = _files()
    for number in range(count):
        workload, data = files[number % len(files)]
        _check(workload, _mutated(data, chance), chance)


@pytest.mark.slow
def test_ten_thousand_mutated_files() -> None:
    _campaign(MUTATED, seed=5)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(100))
def test_a_million_mutated_files(seed: int) -> None:
    _campaign(MUTATED, seed=1_000 + seed)


def test_files_cut_off_anywhere() -> None:
    chance = random.Random(0)
    for workload, data in _files():
        for end in (*range(120), *range(120, len(data), 997)):
            _check(workload, data[:end], chance)


def test_mutated_files_that_never_end_are_not_kept() -> None:
    chance = random.Random(7)
    filler = chance.randbytes(CHUNK)
    for workload, data in _files():
        for _ in range(10):
            start = form(_mutated(data, chance))
            start = start[: start.rindex(b"\r\n--")]
            tracemalloc.start()
            try:
                meter = upload_meter(workload)
                meter.request_body(start)
                for _ in range(16):
                    meter.request_body(filler)
                kept, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert kept < 64 * 1024 + len(start) + CHUNK
            meter.response_start(200, [])
            meter.response_body(RESPONSES[workload])
            assert meter.usage().complete


@pytest.mark.parametrize(
    "file",
    [
        b"\0\0\0\x08ftyp" + b"\0\0\0\x08free" * 10_000,
        b"\0\0\0\x08moov" * (100_100),
        b"\0\0\0\1mdat" + b"\xff" * 8 + bytes(1_000),
        b"\xff\xd8" + b"\xff\xe0\0\2" * 20_000,
        b"\xff\xd8" + b"\xff" * 80_000,
    ],
)
def test_files_made_to_keep_a_parser_busy(file: bytes) -> None:
    _check(Workload.IMAGE_TO_TEXT, file, random.Random(0))
