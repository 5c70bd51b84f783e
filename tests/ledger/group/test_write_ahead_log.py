"""Hazards of the write-ahead log: a record that is not there when it counts, a file that outgrows what is open, one
that is taken from a worker that lives or that nobody takes from a dead one, a disk that fails.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from ulid import ULID

from config.runtime import Fsync
from middlewares.ledger.group_commit import write_ahead_log
from middlewares.ledger.group_commit.write_ahead_log import WriteAheadLog
from middlewares.ledger.model import Hold, Settlement
from middlewares.ledger.settlement.journal import (
    UNFINISHED,
    JournalFull,
    JournalRecord,
    adopt,
    frame,
    keep_corrupt,
    new_journal,
    read,
)
from middlewares.ledger.settlement.settler import released
from tests.ledger.test_journal import hold_of, left_behind, settlement_of
from tests.support.deployment import eventually

LIMIT = 1 << 20
SMALL = 4_000
"""Size from which the tests of compaction have the file written anew."""
WITHIN = 60.0

Opened = Callable[..., WriteAheadLog]


@pytest_asyncio.fixture
async def open_log(tmp_path: Path) -> AsyncIterator[Opened]:
    """Opens a log in `tmp_path`, which is closed after the test unless it is by then."""
    found: list[WriteAheadLog] = []

    def opened(limit_bytes: int = LIMIT, fsync: Fsync = "never") -> WriteAheadLog:
        found.append(WriteAheadLog(tmp_path, limit_bytes, fsync))
        return found[-1]

    yield opened
    for log in found:
        if is_open(log):
            log.close()


def is_open(log: WriteAheadLog) -> bool:
    try:
        return Path(f"/proc/self/fd/{log.fileno()}").readlink().parent == log.path.parent
    except FileNotFoundError:
        return False


def die(log: WriteAheadLog) -> None:
    """End as its process does when it dies."""
    os.close(log.fileno())


def shared_hold() -> Hold:
    hold = hold_of("a")
    hold.local, hold.shared = False, True
    return hold


def in_file(log: WriteAheadLog) -> list[JournalRecord]:
    """What a sibling would read, were this worker dead by now."""
    records, corrupt = read(log.path.read_bytes())
    assert corrupt == b""
    return records


async def iteration() -> None:
    """The end of this iteration of the event loop."""
    await asyncio.sleep(0)


def adopted(folder: Path) -> tuple[set[str], set[str]]:
    """Ids of the requests of a dead worker whose end is known, and of those that only have a hold."""
    [journal] = adopt(folder)
    assert journal.corrupt == b""
    ended = [settlement.hold.request_id for settlement in journal.settlements]
    orphans = [hold.request_id for hold in journal.orphans]
    assert len(set(ended + orphans)) == len(ended + orphans), "one of them is there twice"
    journal.release()
    return set(ended), set(orphans)


# When a record counts


async def test_a_hold_is_in_the_file_before_its_request_is_forwarded(open_log: Opened) -> None:
    log = open_log()
    holds = [shared_hold() for _ in range(3)]
    for number, hold in enumerate(holds):
        await log.hold(hold)
        assert in_file(log) == [JournalRecord(hold=each) for each in holds[: number + 1]]


async def test_what_one_iteration_brings_is_written_together(open_log: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log()
    await log.hold(ended := shared_hold())
    write, sizes = os.write, []

    def count(file: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(file, data)

    async def end() -> None:
        log.end(settlement_of(ended))

    monkeypatch.setattr(os, "write", count)
    holds = [shared_hold() for _ in range(20)]
    await asyncio.gather(end(), *(log.hold(hold) for hold in holds))
    assert in_file(log)[2:] == [JournalRecord(hold=hold) for hold in holds]
    assert len(sizes) == 1


async def test_a_hold_is_not_written_yet_while_its_request_waits(open_log: Opened) -> None:
    log = open_log()
    waiting = asyncio.create_task(log.hold(hold := shared_hold()))
    await iteration()
    assert in_file(log) == []
    assert not waiting.done()
    await waiting
    assert in_file(log) == [JournalRecord(hold=hold)]


@pytest.mark.parametrize("others", [0, 2])
async def test_a_request_that_is_cancelled_before_its_hold_is_written_is_no_orphan(
    open_log: Opened, tmp_path: Path, others: int
) -> None:
    log = open_log()
    gone, *running = (shared_hold() for _ in range(1 + others))
    waiting = [asyncio.create_task(log.hold(hold)) for hold in (gone, *running)]
    await iteration()
    waiting[0].cancel()
    log.done([gone.request_id])
    assert [type(end) for end in await asyncio.gather(*waiting, return_exceptions=True)][1:] == [type(None)] * others
    await iteration()
    assert (log.path.stat().st_size > 0) == bool(others)
    die(log)
    assert adopted(tmp_path) == (set(), {hold.request_id for hold in running})


async def test_an_end_is_in_the_file_after_the_iteration(open_log: Opened) -> None:
    log = open_log()
    holds = [shared_hold() for _ in range(3)]
    ends = [settlement_of(hold) for hold in holds]
    for hold in holds:
        await log.hold(hold)
    for end in ends:
        log.end(end)
    await iteration()
    assert in_file(log)[3:] == [JournalRecord(settlement=end) for end in ends]


async def test_an_end_is_in_the_file_before_the_hold_that_comes_after_it(open_log: Opened) -> None:
    log = open_log()
    first, second = shared_hold(), shared_hold()
    end = settlement_of(first)
    await log.hold(first)
    log.end(end)
    await log.hold(second)
    assert in_file(log)[1:] == [JournalRecord(settlement=end), JournalRecord(hold=second)]
    await iteration()
    assert len(in_file(log)) == 3, "it was written twice"


async def test_the_end_of_the_last_open_request_empties_the_file(open_log: Opened) -> None:
    log = open_log()
    first, second = shared_hold(), shared_hold()
    for hold in (first, second):
        await log.hold(hold)
        log.end(settlement_of(hold))
    await iteration()
    log.done([first.request_id])
    await iteration()
    assert log.path.stat().st_size > 0
    log.done([second.request_id])
    await iteration()
    assert log.path.read_bytes() == b""
    await log.hold(third := shared_hold())
    assert in_file(log) == [JournalRecord(hold=third)]


async def test_a_request_that_is_released_empties_the_file_too(open_log: Opened) -> None:
    """Its end and that nothing is left to do come in one iteration."""
    log = open_log()
    hold = shared_hold()
    await log.hold(hold)
    log.end(released(hold, hold.started_ms))
    log.done([hold.request_id])
    await iteration()
    assert log.path.read_bytes() == b""


async def test_what_is_done_is_no_orphan_of_a_dead_worker(open_log: Opened, tmp_path: Path) -> None:
    log = open_log()
    running, ended, committed, given_back = (shared_hold() for _ in range(4))
    for hold in (running, ended, committed, given_back):
        await log.hold(hold)
    log.end(settlement_of(ended))
    log.end(settlement_of(committed))
    log.end(released(given_back, given_back.started_ms))
    await iteration()
    log.done([committed.request_id, given_back.request_id, "of nobody"])
    await iteration()
    log.close()
    assert adopted(tmp_path) == ({ended.request_id}, {running.request_id})


async def test_what_was_not_written_yet_is_when_the_log_is_closed(open_log: Opened, tmp_path: Path) -> None:
    log = open_log()
    hold = shared_hold()
    await log.hold(hold)
    log.end(settlement_of(hold))
    log.close()
    assert adopted(tmp_path) == ({hold.request_id}, set())


async def test_a_log_with_nothing_open_leaves_no_file(open_log: Opened, tmp_path: Path) -> None:
    log = open_log()
    hold = shared_hold()
    await log.hold(hold)
    log.end(settlement_of(hold))
    log.done([hold.request_id])
    log.close()
    assert os.listdir(tmp_path) == []


# Written anew


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_ahead_log, "COMPACT_BYTES", SMALL)


async def open_some(log: WriteAheadLog) -> tuple[list[Hold], list[Settlement]]:
    """Three requests that run, and two whose end is not in Redis."""
    running = [shared_hold() for _ in range(3)]
    ends = [settlement_of(shared_hold()) for _ in range(2)]
    for hold in (*running, *(end.hold for end in ends)):
        await log.hold(hold)
    for end in ends:
        log.end(end)
    return running, ends


async def one_more(log: WriteAheadLog) -> None:
    """One request from beginning to end."""
    hold = shared_hold()
    await log.hold(hold)
    log.end(settlement_of(hold))
    log.done([hold.request_id])


async def write_anew(log: WriteAheadLog) -> None:
    """Serve requests until the file is another one."""
    inode = log.path.stat().st_ino
    for _ in range(100):
        await one_more(log)
        await iteration()
        if log.path.stat().st_ino != inode:
            return
    raise AssertionError("it was not written anew")


@pytest.mark.usefixtures("small")
async def test_a_file_that_is_written_anew_has_what_is_open_and_nothing_else(open_log: Opened, tmp_path: Path) -> None:
    log = open_log()
    running, ends = await open_some(log)
    await write_anew(log)
    assert in_file(log) == [
        *(JournalRecord(hold=hold) for hold in running),
        *(JournalRecord(settlement=end) for end in ends),
    ]
    assert os.listdir(tmp_path) == [log.path.name]
    assert log.incarnation == log.path.stem


@pytest.mark.usefixtures("small")
async def test_a_file_grows_no_further_than_it_is_written_anew(open_log: Opened) -> None:
    log = open_log()
    await open_some(log)
    sizes = []
    for _ in range(200):
        await one_more(log)
        await iteration()
        sizes.append(log.path.stat().st_size)
    assert max(sizes) < 2 * SMALL + 3_000


@pytest.mark.usefixtures("small")
async def test_a_file_of_which_most_is_open_is_not_written_anew_all_the_time(open_log: Opened) -> None:
    log = open_log()
    for _ in range(3 * SMALL // len(frame(JournalRecord(hold=shared_hold())))):
        await log.hold(shared_hold())
    inode = log.path.stat().st_ino
    for _ in range(3):
        await one_more(log)
        await iteration()
    assert log.path.stat().st_ino == inode


@pytest.mark.usefixtures("small")
async def test_a_file_that_was_written_anew_is_nobody_elses_until_its_worker_is_gone(
    open_log: Opened, tmp_path: Path
) -> None:
    log = open_log()
    running, ends = await open_some(log)
    for _ in range(3):
        await write_anew(log)
        assert adopt(tmp_path) == []
    later = shared_hold()
    await log.hold(later)
    log.end(settlement_of(running[0]))
    log.done([ends[0].hold.request_id])
    await iteration()
    assert adopt(tmp_path) == []
    die(log)
    assert adopted(tmp_path) == (
        {running[0].request_id, ends[1].hold.request_id},
        {running[1].request_id, running[2].request_id, later.request_id},
    )


@pytest.mark.usefixtures("small")
async def test_no_child_process_holds_the_lock_of_a_worker_that_is_gone(open_log: Opened) -> None:
    log = open_log()
    assert not os.get_inheritable(log.fileno())
    await open_some(log)
    await write_anew(log)
    assert not os.get_inheritable(log.fileno())


@pytest.mark.usefixtures("small")
async def test_a_file_that_is_written_anew_while_somebody_opens_it_is_not_taken(
    open_log: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file is nobody's from then on, so that its lock says nothing."""
    log = open_log()
    running, ends = await open_some(log)
    others = [shared_hold() for _ in range(SMALL // 200)]
    for hold in others:
        await log.hold(hold)
    inode, lock = log.path.stat().st_ino, fcntl.flock
    opened: list[int] = []

    def flock(file: int, operation: int) -> None:
        if os.fstat(file).st_ino == inode and not opened:
            opened.append(file)
            log.done([hold.request_id for hold in others])
            assert log.path.stat().st_ino != inode
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert adopt(tmp_path) == []
    assert opened, "nobody has tried"
    await log.hold(later := shared_hold())
    die(log)
    assert adopted(tmp_path) == (
        {end.hold.request_id for end in ends},
        {later.request_id, *(hold.request_id for hold in running)},
    )


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("fails", ["write", "rename"])
async def test_a_file_that_cannot_be_written_anew_goes_on_as_it_is(
    open_log: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    log = open_log()
    running, ends = await open_some(log)
    write = os.write
    attempts: list[str] = []

    def full(file: int, data: bytes) -> int:
        if os.fstat(file).st_ino == log.path.stat().st_ino:
            return write(file, data)
        attempts.append("write")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refused(path: Path, target: Path) -> Path:
        attempts.append("rename")
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patched:
        if fails == "write":
            patched.setattr(os, "write", full)
        else:
            patched.setattr(Path, "replace", refused)
        while not attempts:
            await one_more(log)
            await iteration()
    assert os.listdir(tmp_path) == [log.path.name]
    await log.hold(later := shared_hold())
    await write_anew(log)
    die(log)
    assert adopted(tmp_path) == (
        {end.hold.request_id for end in ends},
        {later.request_id, *(hold.request_id for hold in running)},
    )


# What a death leaves behind


async def test_what_a_death_left_unfinished_is_removed(tmp_path: Path) -> None:
    record = frame(JournalRecord(hold=shared_hold()))
    left_behind(tmp_path, record)
    (tmp_path / f"{ULID()}{UNFINISHED}").write_bytes(record[:-7])
    [journal] = adopt(tmp_path)
    assert len(journal.orphans) == 1
    journal.remove()
    assert os.listdir(tmp_path) == []


async def test_what_is_being_written_is_nobody_elses(tmp_path: Path) -> None:
    path, file = new_journal(tmp_path, UNFINISHED)
    assert adopt(tmp_path) == []
    assert path.exists()
    os.close(file)
    assert adopt(tmp_path) == []
    assert not path.exists()


async def test_a_record_torn_at_any_byte_costs_nothing_before_it(open_log: Opened, tmp_path: Path) -> None:
    log = open_log()
    running, ended, torn = (shared_hold() for _ in range(3))
    for hold in (running, ended, torn):
        await log.hold(hold)
    log.end(settlement_of(ended))
    await iteration()
    whole = log.path.stat().st_size
    log.end(settlement_of(torn))
    await iteration()
    data = log.path.read_bytes()
    for cut in range(whole, len(data), 11):
        folder = tmp_path / f"{cut}"
        left_behind(folder, data[:cut])
        [journal] = adopt(folder)
        assert [each.hold for each in journal.settlements] == [ended]
        assert journal.orphans == [running, torn]
        aside = keep_corrupt(journal.path, journal.corrupt)
        assert (aside.read_bytes() if aside else b"") == data[whole:cut]
        journal.remove()


async def test_a_torn_note_that_something_is_done_costs_no_request(open_log: Opened, tmp_path: Path) -> None:
    """They are written again then, which counts nothing twice; what was released stays so."""
    log = open_log()
    running, committed, given_back = (shared_hold() for _ in range(3))
    for hold in (running, committed, given_back):
        await log.hold(hold)
    log.end(settlement_of(committed))
    log.end(released(given_back, given_back.started_ms))
    await iteration()
    log.done([committed.request_id, given_back.request_id])
    await iteration()
    os.truncate(log.path, log.path.stat().st_size - 5)
    die(log)
    [journal] = adopt(tmp_path)
    assert [(each.hold, each.forwarded) for each in journal.settlements] == [(committed, True), (given_back, False)]
    assert journal.orphans == [running]
    journal.release()


# Its limit, and a disk that fails


async def test_it_is_full_by_what_is_open_and_not_by_what_was_written(open_log: Opened) -> None:
    record = len(frame(JournalRecord(hold=shared_hold())))
    end = len(frame(JournalRecord(settlement=settlement_of(shared_hold()))))
    log = open_log(2 * record + end)
    await log.hold(first := shared_hold())
    await log.hold(shared_hold())
    for _ in range(50):
        await one_more(log)
        await iteration()
    assert log.path.stat().st_size > 10 * (2 * record + end)
    while True:
        try:
            await log.hold(shared_hold())
        except JournalFull:
            break
    before = log.path.read_bytes()
    with pytest.raises(JournalFull, match="has reached"):
        await log.hold(shared_hold())
    assert log.path.read_bytes() == before
    log.done([first.request_id])
    await log.hold(shared_hold())


class Disk:
    """The disk under one file, which is full at will: a write stops half-way there, and the next one fails."""

    def __init__(self, log: WriteAheadLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = log.fileno()
        self._write = os.write
        self._half_way = False
        self.full = False
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        """As `os.write`."""
        if not self.full or file != self._file:
            return self._write(file, data)
        self._half_way = not self._half_way
        if self._half_way:
            return self._write(file, bytes(data)[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_hold_that_a_full_disk_cuts_off_leaves_nothing(
    open_log: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = open_log()
    disk = Disk(log, monkeypatch)
    first, second, third = (shared_hold() for _ in range(3))
    await log.hold(first)
    before = log.path.read_bytes()
    disk.full = True
    with pytest.raises(OSError, match="No space left"):
        await log.hold(second)
    await iteration()
    assert log.path.read_bytes() == before
    disk.full = False
    await log.hold(third)
    assert in_file(log) == [JournalRecord(hold=first), JournalRecord(hold=third)]
    log.close()
    assert adopted(tmp_path) == (set(), {first.request_id, third.request_id})


async def test_all_holds_of_an_iteration_that_a_full_disk_refuses_are_given_up(
    open_log: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = open_log()
    disk = Disk(log, monkeypatch)
    await log.hold(ended := shared_hold())
    disk.full = True
    log.end(end := settlement_of(ended))
    refused = await asyncio.gather(*(log.hold(shared_hold()) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in refused] == [OSError] * 3
    disk.full = False
    await log.hold(later := shared_hold())
    assert in_file(log)[1:] == [JournalRecord(settlement=end), JournalRecord(hold=later)]
    log.close()
    assert adopted(tmp_path) == ({ended.request_id}, {later.request_id})


@pytest.mark.usefixtures("small")
async def test_a_hold_that_waits_while_the_file_is_written_anew_is_in_the_new_one(open_log: Opened) -> None:
    log = open_log()
    await open_some(log)
    others = [shared_hold() for _ in range(SMALL // 200)]
    for hold in others:
        await log.hold(hold)
    inode = log.path.stat().st_ino
    waiting = asyncio.create_task(log.hold(hold := shared_hold()))
    await iteration()
    log.done([each.request_id for each in others])
    assert log.path.stat().st_ino != inode
    await waiting
    assert in_file(log).count(JournalRecord(hold=hold)) == 1
    await iteration()
    assert in_file(log).count(JournalRecord(hold=hold)) == 1, "it was written twice"


async def test_a_hold_that_waits_while_the_log_is_closed_is_in_the_file(open_log: Opened, tmp_path: Path) -> None:
    log = open_log()
    waiting = asyncio.create_task(log.hold(hold := shared_hold()))
    await iteration()
    log.close()
    await waiting
    assert adopted(tmp_path) == (set(), {hold.request_id})
    with pytest.raises(OSError, match="is closed"):
        await log.hold(shared_hold())


async def test_a_hold_that_a_full_disk_refuses_takes_up_none_of_the_limit(
    open_log: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(len(frame(JournalRecord(hold=shared_hold()))))
    disk = Disk(log, monkeypatch)
    disk.full = True
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            await log.hold(shared_hold())
    disk.full = False
    await log.hold(shared_hold())


@pytest.mark.parametrize("after", ["hold", "end", "done", "close"])
async def test_an_end_that_a_full_disk_refuses_is_written_with_what_comes_next(
    open_log: Opened, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    log = open_log()
    disk = Disk(log, monkeypatch)
    refused, other = shared_hold(), shared_hold()
    for hold in (refused, other):
        await log.hold(hold)
    before = log.path.read_bytes()
    disk.full = True
    log.end(end := settlement_of(refused))
    await iteration()
    assert log.path.read_bytes() == before
    disk.full = False
    if after == "hold":
        await log.hold(shared_hold())
    elif after == "end":
        log.end(settlement_of(other))
    elif after == "done":
        log.done([other.request_id])
    else:
        log.close()
    await iteration()
    assert JournalRecord(settlement=end) in in_file(log)


# On the disk itself


class Syncs:
    """The `fsync` of the disk: how much was in the file when each began, and none ends before it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.fails = False
        self._sync = os.fsync
        self._may_end = threading.Semaphore(0)
        self._blocks = False
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, file: int) -> None:
        """As `os.fsync`."""
        self.sizes.append(os.fstat(file).st_size)
        if self._blocks and threading.current_thread() is not threading.main_thread():
            assert self._may_end.acquire(timeout=WITHIN)
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(file)

    def block(self) -> None:
        self._blocks = True

    def let(self, number: int = 1) -> None:
        """Let so many end."""
        self._may_end.release(number)

    async def begun(self, number: int) -> None:
        await eventually(lambda: len(self.sizes) == number)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Syncs]:
    found = Syncs(monkeypatch)
    yield found
    found.let(100)


@pytest.mark.usefixtures("small")
async def test_never_means_never(open_log: Opened, syncs: Syncs) -> None:
    log = open_log()
    await open_some(log)
    await log.durable()
    await log.sync()
    await write_anew(log)
    log.close()
    assert syncs.sizes == []


async def test_durable_waits_for_an_fsync_that_began_after_the_write(open_log: Opened, syncs: Syncs) -> None:
    log = open_log(fsync="always")
    syncs.block()
    await log.hold(shared_hold())
    sizes = [log.path.stat().st_size]
    first = asyncio.create_task(log.durable())
    await syncs.begun(1)
    await log.hold(shared_hold())
    second = asyncio.create_task(log.durable())
    await log.hold(shared_hold())
    third = asyncio.create_task(log.durable())
    sizes.append(log.path.stat().st_size)
    await iteration()
    assert syncs.sizes == sizes[:1]
    syncs.let()
    await first
    await syncs.begun(2)
    assert not second.done(), "the fsync that it took for its own began before it was written"
    assert not third.done()
    syncs.let()
    await asyncio.gather(second, third)
    assert syncs.sizes == sizes


async def test_requests_that_wait_together_share_one_fsync(open_log: Opened, syncs: Syncs) -> None:
    log = open_log(fsync="always")

    async def admit() -> None:
        await log.hold(shared_hold())
        await log.durable()

    await asyncio.gather(*(admit() for _ in range(100)))
    assert syncs.sizes == [log.path.stat().st_size]
    await admit()
    assert len(syncs.sizes) == 2


async def test_a_request_that_is_cancelled_takes_no_fsync_from_the_others(open_log: Opened, syncs: Syncs) -> None:
    log = open_log(fsync="always")
    syncs.block()
    await log.hold(shared_hold())
    waiting = [asyncio.create_task(log.durable()) for _ in range(3)]
    await syncs.begun(1)
    waiting[0].cancel()
    await iteration()
    syncs.let()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, type(None), type(None)]


async def test_a_disk_that_cannot_sync_fails_all_who_wait_and_nobody_later(open_log: Opened, syncs: Syncs) -> None:
    log = open_log(fsync="always")
    await log.hold(shared_hold())
    syncs.fails = True
    ends = await asyncio.gather(*(log.durable() for _ in range(3)), return_exceptions=True)
    assert [type(end) for end in ends] == [OSError] * 3
    syncs.fails = False
    await log.hold(shared_hold())
    await log.durable()


@pytest.mark.usefixtures("small")
async def test_a_file_that_is_written_anew_is_on_the_disk_before_it_counts(open_log: Opened, syncs: Syncs) -> None:
    log = open_log(fsync="always")
    await open_some(log)
    await write_anew(log)
    assert syncs.sizes == [log.path.stat().st_size, log.path.parent.stat().st_size]  # then its name in the folder


@pytest.mark.usefixtures("small")
async def test_an_fsync_on_its_way_survives_that_the_file_is_written_anew(open_log: Opened, syncs: Syncs) -> None:
    log = open_log(fsync="always")
    syncs.block()
    await open_some(log)
    waiting = asyncio.create_task(log.durable())
    await syncs.begun(1)
    await write_anew(log)
    syncs.let()
    await waiting


async def test_every_second_there_is_one_fsync_where_something_was_written(open_log: Opened, syncs: Syncs) -> None:
    log = open_log(fsync="every_second")
    await log.sync()
    assert syncs.sizes == []
    hold = shared_hold()
    await log.hold(hold)
    await log.durable()
    assert syncs.sizes == []
    await log.sync()
    await log.sync()
    assert len(syncs.sizes) == 1
    log.end(settlement_of(hold))
    await iteration()
    await log.sync()
    await log.sync()
    assert syncs.sizes[1:] == [log.path.stat().st_size]
