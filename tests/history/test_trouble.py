"""Trouble with the history: events stay in Redis, nothing is lost, and each change is reported once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from config.history import HistorySettings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history import queries, writes
from proxy.history.archive import archiver as archiver_module
from proxy.history.archive.archiver import Archiver
from proxy.history.store import History, HistoryUnavailable
from proxy.history.writes import Superseded
from proxy.reporting.verify.verification import verify
from proxy.store.store import Store
from tests.history.fakes import NOW, TAGS, Archive, Reports, event
from tests.history.postgres import Postgres
from tests.store.servers import RedisServer, eventually


async def running(archive: Archive, work: Callable[[Archiver], Awaitable[None]]) -> None:
    """Run an archiver while `work` goes on."""
    archiver = archive.archiver()
    task = asyncio.create_task(archiver.run())
    try:
        await work(archiver)
    finally:
        archiver.stop()
        await task


def kinds(reports: Reports) -> list[str]:
    return [line[0] for line in reports.lines]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often, and lose patience soon."""
    monkeypatch.setattr(archiver_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(archiver_module, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(archiver_module, "PATIENCE_SECONDS", 0.3)


@pytest.mark.ci
@pytest.mark.usefixtures("quick")
async def test_a_frozen_database_is_reported_and_nothing_is_lost(store: Store, postgres: Postgres) -> None:
    history = History.at(postgres.database())
    await history.upgrade()
    archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)

    async def work(_archiver: Archiver) -> None:
        await archive.add(event(), 1)
        await eventually(lambda: archive.reports.counts["added"] == 1)
        postgres.freeze()
        try:
            for _ in range(30):
                await archive.add(event(), 1)
            await eventually(lambda: kinds(archive.reports) == ["unavailable"])
            await eventually(lambda: archive.reports.lags[0] > 0)
        finally:
            postgres.thaw()
        await eventually(lambda: archive.reports.counts["added"] == 31)
        await eventually(lambda: archive.reports.lags[0] == 0)
        await eventually(lambda: len(archive.reports.lines) > 1)

    await running(archive, work)
    assert kinds(archive.reports) == ["unavailable", "recovered"]
    assert len(set(await archive.in_history())) == 31
    await history.close()


@pytest.mark.usefixtures("quick")
async def test_a_locked_file_is_reported_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.history.engine.BUSY_SECONDS", 0.05)
    history = History.at(f"sqlite:///{tmp_path}/history.sqlite")
    await history.upgrade()
    archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
    other = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    async def work(_: Archiver) -> None:
        await archive.add(event(), 1)
        await eventually(lambda: archive.reports.lags[0] > 0)
        await eventually(lambda: kinds(archive.reports) == ["unavailable"])
        other.execute("ROLLBACK")
        await eventually(lambda: archive.reports.counts["added"] == 1)
        await eventually(lambda: len(archive.reports.lines) > 1)

    await running(archive, work)
    other.close()
    assert kinds(archive.reports) == ["unavailable", "recovered"]
    await history.close()


async def test_streams_without_events_do_not_say_that_it_has_recovered(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They read a history that takes no writes, one after the other, at each try."""
    monkeypatch.setattr("proxy.history.engine.BUSY_SECONDS", 0.05)
    history = History.at(f"sqlite:///{tmp_path}/history.sqlite")
    archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
    archiver = archive.archiver()
    assert await archiver.advance()
    last = next(app for app in map(str, range(100)) if archive.keys.tag(app) == archive.keys.tags[-1])
    with contextlib.closing(sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await archive.add(event(last), 1)
        for _ in range(3):
            assert not await archiver.advance()
    assert kinds(archive.reports) == ["unavailable"]
    assert await archiver.advance()
    assert kinds(archive.reports) == ["unavailable", "recovered"]
    await history.close()


FULL = """
import asyncio, resource, sys
from pathlib import Path
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.store import History
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive

async def main(redis, file):
    history = History.at(f"sqlite:///{file}")
    await history.upgrade()
    size = sum(each.stat().st_size for each in Path(file).parent.glob("history.sqlite*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, resource.RLIM_INFINITY))
    async with await Store.open(redis, Path(file).parent, deadline=5, control_timeout=5) as store:
        archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
        print(await archive.advance(), [line for line in archive.reports.lines if line[0] == "unavailable"])

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_a_full_disk_is_reported_and_nothing_is_lost(
    store: Store, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A file that may not grow stands for the disk: to SQLite both are a write that fails."""
    file = tmp_path / "history.sqlite"
    history = History.at(f"sqlite:///{file}")
    await history.upgrade()
    archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
    ids = [(each := event(note="x" * 500), await archive.add(each, 1))[0].id for _ in range(500)]
    arguments = "-c", FULL, redis_server.url, str(file)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.startswith(b"False [('unavailable', 'the history cannot be used: ")
    assert sorted(await archive.in_redis()) == sorted(ids)
    assert await archive.advance(HistorySettings(keep_in_redis_seconds=3600))
    assert sorted(await archive.in_history()) == sorted(ids)
    await history.close()


@pytest.mark.slow
async def test_two_archivers_at_once_archive_each_event_once(archive: Archive) -> None:
    both = [archive.archiver() for _ in range(2)]
    ids = []
    for _ in range(10):
        for number in range(30):
            each = event(f"app_{number % 5}")
            await archive.add(each, 1)
            ids.append(each.id)
        await asyncio.gather(*(one.advance() for one in both))
        await both[0].release()
    await asyncio.gather(*(one.advance() for one in both))
    assert sorted(await archive.in_history()) == sorted(ids)
    assert archive.reports.counts["repeated"] == 0


async def test_an_archiver_that_was_away_cannot_commit(archive: Archive) -> None:
    """Its lease has passed to another one while it slept between reading and writing."""
    stale, current = archive.archiver(), archive.archiver()
    await archive.add(event(), 1)
    assert await stale.advance()
    await archive.client.delete(*[f"{tag}archiver" for tag in archive.keys.tags])
    assert await current.advance()
    await archive.client.delete(*[f"{tag}archiver" for tag in archive.keys.tags])
    await archive.add(event(), 1)
    cursors = await archive.history.read(queries.cursors)
    for tag in stale.tags:
        assert tag.cursor is not None
        number = archive.keys.tags.index(tag.tag)
        assert tag.cursor.token < cursors[number].token
        entries = await archive.client.xrange(tag.stream)
        if entries:
            with pytest.raises(Superseded):
                await archive.history.write(writes.archive, number, tag.cursor.token, tag.cursor.server, entries)
    assert len(await archive.in_history()) == 1
    assert await stale.advance()  # it begins anew, with a token of its own
    assert len(await archive.in_history()) == 2


async def test_a_stream_that_went_back_is_compared(archive: Archive) -> None:
    """After a failover to a replica whose clock is behind, new entries have smaller ids than archived ones."""
    stream = archive.stream("app_one")
    first = event()
    await archive.add(first, 1)
    assert await archive.advance(HistorySettings(keep_in_redis_seconds=10**7))
    entries = await archive.client.xrange(stream)
    await archive.client.delete(stream)
    second = event()
    await archive.add(second, 1)
    [(_, fields)] = await archive.client.xrange(stream)
    await archive.client.delete(stream)
    await archive.client.xadd(stream, fields, id="5-0")
    await archive.client.xadd(stream, entries[0][1], id="6-0")
    assert await archive.advance(HistorySettings(keep_in_redis_seconds=10**7))
    assert sorted(await archive.in_history()) == sorted([first.id, second.id])
    assert archive.reports.lines == [("rewound", stream)]
    differences, counts = await verify(archive.sources, {})
    assert (differences, counts.events) == ([], 2)


async def test_a_redis_has_one_history(archive: Archive, tmp_path: Path) -> None:
    await archive.add(event(), 1)
    assert await archive.advance(HistorySettings(keep_in_redis_seconds=3600))
    other = Archive(archive.client, archive.keys, History.at(f"sqlite:///{tmp_path}/other.sqlite"))
    assert not await other.advance(NOW)
    [(kind, reason)] = other.reports.lines
    assert kind == "unavailable"
    assert "another history" in reason
    with pytest.raises(HistoryUnavailable, match="another history"):
        await verify(other.sources, {})
    await other.history.close()


async def test_an_address_is_never_in_an_error(tmp_path: Path) -> None:
    history = History.at("postgresql://someone:geheim@127.0.0.1:1/database")
    with pytest.raises(HistoryUnavailable) as caught:
        await history.read(queries.cursors)
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)
    await history.close()
