"""Events move from Redis to the history once, as they were, and only then leave Redis."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config.history import HistorySettings
from config.workloads import Workload
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history import queries
from proxy.history.archive import archiver as archiver_module
from proxy.history.archive.lease import ArchiverLeases
from proxy.history.batch import Entry
from proxy.history.store import History, HistoryUnavailable
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive, event
from tests.store.servers import eventually

pytestmark = pytest.mark.ci


HUGE = 10**27 + 7


async def test_events_are_archived_as_they_were_and_trimmed(archive: Archive) -> None:
    written = {}
    for number in range(350):
        each = event(
            f"app_{number % 7}", user=f"ü|{number % 3}", model="=a|b%\\u0000\n", time=1_790_000_000_000 + number
        )
        amount, wallet = HUGE * (-1) ** number, ("", "app", "user")[number % 3]
        entry = await archive.add(each, amount, wallet=wallet, gross="12" if number % 2 else "")
        written[each.id] = (entry, await archive.client.xrange(archive.stream(each.app), entry, entry))

    assert await archive.advance()

    assert sorted(await archive.in_history()) == sorted(written)
    assert len(await archive.in_redis()) < 100 * len(archive.streams())  # whole nodes are trimmed
    assert archive.reports.counts["added"] == 350
    for tag, cursor in (await archive.history.read(queries.cursors)).items():
        for kept in await archive.history.read(queries.of_tag, tag, 0, cursor.seq):
            [(entry, fields)] = written[_id(kept.fields)][1]
            assert (str(kept.entry).encode(), kept.fields) == (entry, fields)


def _id(fields: dict[bytes, bytes]) -> str:
    return fields[b"event"].decode().partition('"id":"')[2].partition('"')[0]


async def test_what_is_no_event_is_kept_whole_and_blocks_nothing(archive: Archive) -> None:
    stream = archive.stream("app_one")
    garbage: list[dict[bytes, bytes]] = [
        {b"event": b"{", b"amount": b"1"},
        {b"event": b'{"app":"app_one"}', b"amount": b"1"},
        {b"some": b"\xff\x00thing"},
        {b"event": b"\xff", b"amount": b"x"},
    ]
    for fields in garbage:
        await archive.client.xadd(stream, fields)
    await archive.add(event(), 5, wallet="house", more="1")
    assert await archive.advance()
    [cursor] = [each for each in (await archive.history.read(queries.cursors)).values() if each.seq]
    kept = await archive.history.read(queries.of_tag, cursor.tag, 0, cursor.seq)
    assert [each.fields for each in kept[:4]] == garbage
    assert (kept[4].fields[b"more"], kept[4].fields[b"wallet"]) == (b"1", b"house")
    assert len([line for line in archive.reports.lines if line[0] == "unreadable"]) == 4


async def test_young_events_stay_in_redis(archive: Archive) -> None:
    ids = [(each := event(), await archive.add(each, 1))[0].id for _ in range(300)]
    assert await archive.advance(HistorySettings(keep_in_redis_seconds=3600))
    assert sorted(await archive.in_redis()) == sorted(await archive.in_history()) == sorted(ids)


async def test_network_units_are_counted_once(archive: Archive) -> None:
    for units, workload in ((7, Workload.LLM), (5, Workload.LLM), (None, Workload.LLM), (11, Workload.BYOC)):
        each = event("app_one")
        each.network_units, each.workload = units, workload
        for _ in range(2):
            await archive.add(each)
    assert await archive.advance()
    counts = archive.reports.counts
    assert (counts["added"], counts["repeated"]) == (4, 4)
    assert (counts[Workload.LLM], counts[Workload.BYOC]) == (12, 11)


async def test_a_repeated_event_is_there_once(archive: Archive) -> None:
    each = event()
    for _ in range(3):
        await archive.add(each, 1)
    assert await archive.advance()
    await archive.add(each, 1)
    assert await archive.advance()
    assert await archive.in_history() == [each.id]
    assert archive.reports.counts["repeated"] == 3


@pytest.mark.parametrize("schema", ["9999"])
async def test_a_newer_schema_is_refused_and_events_stay(archive: Archive, history_url: str, schema: str) -> None:
    await archive.history.write(
        lambda connection: connection.execute(text(f"UPDATE tollgate_history_version SET version_num = '{schema}'"))
    )
    await archive.add(event(), 1)
    newer = History.at(history_url)
    with pytest.raises(HistoryUnavailable, match="has schema 9999, which is newer than this program"):
        await newer.upgrade()
    archive.history = newer
    archiver = archive.archiver()
    assert not await archiver.advance()
    assert not await archiver.advance()
    assert [line[0] for line in archive.reports.lines] == ["unavailable"]
    assert len(await archive.in_redis()) == 1
    await newer.close()


async def test_a_clock_that_was_set_back_does_not_forget_what_was_trimmed(archive: Archive) -> None:
    """A settlement that is looked for later must still be asked of the history."""
    tag = archive.keys.tag("app_one")
    leases = ArchiverLeases(archive.client, archive.keys)
    look = await leases.look(tag)
    for keep in (Entry(5_000, 0), Entry(5_000, 3), Entry(1_000, 0)):
        assert await leases.trim(tag, look.server, keep) == 0
    assert await archive.client.get(archive.keys.shared(tag).trimmed) == b"5001"


async def test_a_long_backlog_is_no_history_that_does_not_respond(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is progress, also where all of them together take longer than the archiver's patience."""
    monkeypatch.setattr(archiver_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(archiver_module, "PATIENCE_SECONDS", 2.0)
    history = History.at(f"sqlite:///{tmp_path}/history.sqlite")
    await history.upgrade()
    archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
    write = history.write

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(0.1)
        return await write(*arguments)

    monkeypatch.setattr(history, "write", slow)
    for _ in range(25):
        await archive.add(event(), 1)
    archiver = archive.archiver(HistorySettings(batch=1, keep_in_redis_seconds=0))
    running = asyncio.create_task(archiver.run())
    await eventually(lambda: archive.reports.counts["added"] == 25)
    archiver.stop()
    await running
    assert archive.reports.lines == []
    await history.close()


async def test_it_ends_while_it_reads_how_far_behind_it_is(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12 the client of Redis can lose a cancellation, so that none may be needed to end."""
    archiver, reading, read = archive.archiver(), asyncio.Event(), asyncio.Event()

    async def lag() -> tuple[float, float]:
        reading.set()
        with contextlib.suppress(asyncio.CancelledError):
            await read.wait()
        return 0, 0

    monkeypatch.setattr(archiver, "lag", lag)
    running = asyncio.create_task(archiver.run())
    await reading.wait()
    archiver.stop()
    asyncio.get_running_loop().call_later(0.1, read.set)
    done, _ = await asyncio.wait({running}, timeout=60)
    assert done == {running}
