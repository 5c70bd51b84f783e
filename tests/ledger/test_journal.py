"""The journal: what was acknowledged is on disk, whatever tears it; what is on disk reaches Redis exactly once."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ulid import ULID

from config.workloads import Unit
from middlewares.ledger.clock import RedisClock
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.settlement.event import DECODER, ENCODER, orphaned
from middlewares.ledger.settlement.journal import Journal, JournalFull, JournalRecord, adopt, frame, read
from middlewares.ledger.settlement.journal_replay import adopt_journals, empty_journal
from middlewares.ledger.settlement.settler import Settler
from proxy.store.store import Store
from tests.ledger.worker_ledger import MODEL, WORKLOAD, event_of, never_rejected

LIMIT = 1 << 20


def hold_of(app: str, *, on_orphan: str = "refund") -> Hold:
    return Hold(
        request_id=str(ULID()),
        app=app,
        user=None,
        key=None,
        plan="plan@1",
        workload=WORKLOAD,
        model=MODEL,
        started_ms=1_700_000_000_000,
        units={Unit.REQUESTS: 1},
        on_orphan=on_orphan,
        local=True,
    )


def settlement_of(hold: Hold) -> Settlement:
    units = {Unit.REQUESTS: 1, Unit.PIXELS: 5}
    event = event_of(hold, units, hold.started_ms + 5)
    raw = msgspec.Raw(ENCODER.encode(event))
    return Settlement(hold=hold, event=raw, time_ms=event.time, units=units, attempted_ms=event.time)


def record_of(app: str) -> JournalRecord:
    return JournalRecord(settlement=settlement_of(hold_of(app)))


@pytest.fixture
def app() -> str:
    return f"app_{ULID()}"


@pytest.fixture
def settler(store: Store, keys: RedisKeys) -> Settler:
    return Settler(store, keys, never_rejected)


async def outcomes(store: Store, keys: RedisKeys, app: str) -> dict[str, str]:
    """Outcome by request id; no request has two events."""
    redis: Any = store.redis
    entries = await redis.xrange(keys.shared(keys.tag(app)).events)
    events = [DECODER.decode(fields[b"event"]) for _, fields in entries]
    mine = [event for event in events if event.app == app]
    assert max(Counter(event.id for event in mine).values(), default=1) == 1
    return {event.id: event.outcome for event in mine}


def left_behind(folder: Path, data: bytes) -> Path:
    """A journal whose worker is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{ULID()}.journal"
    path.write_bytes(data)
    return path


# The file


def test_a_tail_torn_at_any_byte_costs_nothing_before_it() -> None:
    records = [record_of("a"), JournalRecord(hold=hold_of("a")), record_of("a")]
    lines = [frame(record) for record in records]
    data = b"".join(lines)
    ends = [len(b"".join(lines[:number])) for number in range(4)]
    for cut in range(len(data)):
        whole = max(number for number, end in enumerate(ends) if end <= cut)
        assert read(data[:cut]) == (records[:whole], data[ends[whole] : cut])
    assert read(data) == (records, b"")


def test_a_flipped_bit_anywhere_is_noticed_and_costs_one_record() -> None:
    records = [record_of("a") for _ in range(3)]
    lines = [frame(record) for record in records]
    for at in range(len(lines[1])):
        bent = bytearray(lines[1])
        bent[at] ^= 4
        found, corrupt = read(lines[0] + bytes(bent) + lines[2])
        assert found[0] == records[0]
        assert found[1:] in ([records[2]], [])  # a line end that is lost takes the next record along
        assert corrupt
        assert len(corrupt) in (len(bent), len(bent) + len(lines[2]))


def test_a_whole_line_that_is_no_record_is_kept_aside() -> None:
    import zlib

    strange = b'{"settlement":{"from":"the future"}}'
    line = b"%08x %s\n" % (zlib.crc32(strange), strange)
    record = record_of("a")
    assert read(line + frame(record)) == ([record], line)


async def test_records_that_arrive_together_are_all_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LIMIT)
    records = [record_of("a") for _ in range(300)]
    await asyncio.gather(*(journal.append(record) for record in records))
    assert read(journal.path.read_bytes()) == (records, b"")
    assert journal.size == journal.path.stat().st_size
    journal.close()


async def test_a_full_journal_says_so_and_takes_more_once_it_is_empty(tmp_path: Path) -> None:
    record = record_of("a")
    journal = Journal(tmp_path, 2 * len(frame(record)))
    await journal.append(record)
    await journal.append(record)
    with pytest.raises(JournalFull, match="has reached"):
        await journal.append(record)
    journal.clear()
    await journal.append(record)
    assert read(journal.path.read_bytes()) == ([record], b"")
    journal.close()


@contextmanager
def disk_ends_at(size: int) -> Iterator[None]:
    """No file may grow past this size: a write stops half-way there, as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


async def test_a_write_that_a_full_disk_cuts_off_does_not_spoil_the_next_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LIMIT)
    first, second, third = (record_of("a") for _ in range(3))
    await journal.append(first)
    with disk_ends_at(journal.size + 20), pytest.raises(OSError, match="too large"):
        await journal.append(second)
    assert journal.size == len(frame(first))
    await journal.append(third)
    assert read(journal.path.read_bytes()) == ([first, third], b"")
    journal.close()


async def test_an_empty_journal_leaves_no_file(tmp_path: Path) -> None:
    Journal(tmp_path, LIMIT).close()
    assert os.listdir(tmp_path) == []


WRITER = """
import asyncio, sys
from pathlib import Path
from middlewares.ledger.settlement.journal import Journal, JournalRecord
from tests.ledger.test_journal import record_of

async def main():
    journal = Journal(Path(sys.argv[1]), 1 << 30)
    async def write():
        while True:
            record = record_of("a")
            await journal.append(record)
            print(record.settlement.hold.request_id, flush=True)
    await asyncio.gather(*(write() for _ in range(20)))

asyncio.run(main())
"""


@pytest.mark.ci
def test_what_was_acknowledged_survives_kill_nine(tmp_path: Path) -> None:
    for turn in range(2):
        folder = tmp_path / f"{turn}"
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            acknowledged = [writer.stdout.readline() for _ in range(150 + 77 * turn)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += writer.stdout.readlines()
        [journal] = adopt(folder)
        written = {record.settlement.hold.request_id for record in journal.records if record.settlement}
        assert written >= {line.decode().strip() for line in acknowledged if line.endswith(b"\n")}
        journal.remove()


# Whose it is


async def test_the_journal_of_the_living_is_nobody_elses(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LIMIT)
    await journal.append(record_of("a"))
    assert adopt(tmp_path) == []
    journal.close()
    [adopted] = adopt(tmp_path)
    assert len(adopted.records) == 1
    adopted.remove()
    assert os.listdir(tmp_path) == []


async def test_a_journal_is_never_taken_between_its_making_and_its_lock(tmp_path: Path) -> None:
    done = threading.Event()

    def take_what_is_there() -> None:
        while not done.is_set():
            for journal in adopt(tmp_path):
                journal.remove()

    taker = threading.Thread(target=take_what_is_there)
    taker.start()
    try:
        for _ in range(300):
            journal = Journal(tmp_path, LIMIT)
            assert journal.path.exists(), "its file was taken and removed"
            journal.close()
    finally:
        done.set()
        taker.join()


ADOPTER = """
import sys
from pathlib import Path
from middlewares.ledger.settlement.journal import adopt

sys.stdin.readline()
for journal in adopt(Path(sys.argv[1])):
    print(journal.path.name, flush=True)
    journal.remove()
"""


def test_two_processes_adopt_each_journal_once(tmp_path: Path) -> None:
    names = sorted(left_behind(tmp_path, frame(record_of("a"))).name for _ in range(200))
    command = [sys.executable, "-c", ADOPTER, str(tmp_path)]
    adopters = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for adopter in adopters:
        assert adopter.stdin
        adopter.stdin.write("\n")
        adopter.stdin.flush()
    taken = [adopter.communicate()[0].split() for adopter in adopters]
    assert sorted(taken[0] + taken[1]) == names
    assert list(tmp_path.iterdir()) == []


# Into Redis


@pytest.mark.ci
async def test_a_journal_torn_at_any_byte_of_its_tail_is_replayed_up_to_there(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    tail = frame(record_of(app))
    expected = {}
    for cut in range(0, len(tail), 7):
        whole = record_of(app)
        assert whole.settlement
        expected[whole.settlement.hold.request_id] = "complete"
        folder = tmp_path / f"{cut}"
        path = left_behind(folder, frame(whole) + tail[:cut])
        written, aside = await adopt_journals(folder, settler, RedisClock())
        assert written == 1
        assert [each.read_bytes() for each in aside] == ([tail[:cut]] if cut else [])
        assert not path.exists()
    assert await outcomes(store, keys, app) == expected


async def test_a_corrupt_line_in_the_middle_is_kept_aside_and_the_others_are_replayed(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    records = [record_of(app) for _ in range(5)]
    lines = [frame(record) for record in records]
    bent = lines[2].replace(b"complete", b"compleat")
    left_behind(tmp_path, b"".join([*lines[:2], bent, *lines[3:]]))
    written, [aside] = await adopt_journals(tmp_path, settler, RedisClock())
    assert (written, aside.read_bytes()) == (4, bent)
    assert len(await outcomes(store, keys, app)) == 4
    assert await adopt_journals(tmp_path, settler, RedisClock()) == (0, [])
    assert aside.exists()


async def test_corruption_of_ones_own_journal_is_kept_aside_too(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    journal = Journal(tmp_path, LIMIT)
    await journal.append(record_of(app))
    await journal.append(record_of(app))
    data = journal.path.read_bytes()
    journal.path.write_bytes(data.replace(b"complete", b"compleat", 1))
    written, aside = await empty_journal(journal, frozenset(), settler)
    assert aside
    assert (written, aside.suffix) == (1, ".corrupt")
    journal.close()
    assert aside.read_bytes() in data.replace(b"complete", b"compleat", 1)


async def test_dying_after_writing_to_redis_and_before_clearing_counts_nothing_twice(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    data = b"".join([*(frame(record_of(app)) for _ in range(20)), frame(JournalRecord(hold=hold_of(app)))])
    for turn in range(3):
        left_behind(tmp_path, data)
        written, _ = await adopt_journals(tmp_path, settler, RedisClock())
        assert written == (0 if turn else 21)
    assert Counter((await outcomes(store, keys, app)).values()) == {"complete": 20, "orphaned": 1}


async def test_two_who_replay_copies_of_one_journal_count_it_once(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    data = b"".join(frame(record_of(app)) for _ in range(100))
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        left_behind(folder, data)
    done = await asyncio.gather(*(adopt_journals(folder, settler, RedisClock()) for folder in folders))
    assert sum(written for written, _ in done) == 100
    assert len(await outcomes(store, keys, app)) == 100


async def test_a_local_hold_of_a_dead_worker_becomes_an_orphan_unless_it_was_settled(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    lost, settled, ended, given_back = (hold_of(app) for _ in range(4))
    await settler.settle(settlement_of(ended))  # straight to Redis, and then the worker died
    nothing = Settlement(hold=given_back, event=msgspec.Raw(b"null"), time_ms=given_back.started_ms)
    records = [
        *(JournalRecord(hold=hold) for hold in (lost, settled, ended, given_back)),
        JournalRecord(settlement=settlement_of(settled)),
        JournalRecord(settlement=nothing),
    ]
    left_behind(tmp_path, b"".join(map(frame, records)))
    await adopt_journals(tmp_path, settler, RedisClock())
    assert await outcomes(store, keys, app) == {
        lost.request_id: "orphaned",
        settled.request_id: "complete",
        ended.request_id: "complete",
    }


async def test_a_living_worker_makes_no_orphan_of_its_own_hold(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    """Its request may have been given back, or be on its way to Redis right now."""
    journal = Journal(tmp_path, LIMIT)
    running, given_back = hold_of(app), hold_of(app, on_orphan="estimate")
    for hold in (running, given_back):
        await journal.append(JournalRecord(hold=hold))
    await empty_journal(journal, {running.request_id}, settler)
    assert journal.size > 0
    await empty_journal(journal, set(), settler)
    assert journal.size == 0
    journal.close()
    assert await outcomes(store, keys, app) == {}


async def test_what_is_appended_while_the_journal_is_emptied_stays(
    store: Store, keys: RedisKeys, settler: Settler, app: str, tmp_path: Path
) -> None:
    journal = Journal(tmp_path, LIMIT)
    for _ in range(10):
        await asyncio.gather(*(journal.append(record_of(app)) for _ in range(10)))
        await asyncio.gather(
            empty_journal(journal, set(), settler), *(journal.append(record_of(app)) for _ in range(10))
        )
    await empty_journal(journal, set(), settler)
    assert journal.size == 0
    journal.close()
    assert len(await outcomes(store, keys, app)) == 200


def test_the_event_of_an_orphan_says_who_died() -> None:
    hold = hold_of("a", on_orphan="estimate")
    event = orphaned(hold, hold.started_ms + 1_000)
    assert (event.id, event.outcome, event.duration_ms) == (hold.request_id, "orphaned", 1_000)
    assert event.units == hold.units
