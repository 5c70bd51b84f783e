"""Old events leave the history by whole months; usage, wallets and verification stay exact."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from config.history import HistorySettings
from proxy.history import queries
from proxy.history.archive.groups import GroupPosition, place
from proxy.history.audit.reader import AuditReader
from proxy.history.audit.rows import AuditFilter
from proxy.history.batch import START, day_of, start_of
from proxy.history.retention import prune as pruning
from proxy.history.retention.boundary import allowed, wanted
from proxy.reporting.dates import Days
from proxy.reporting.statements.account import read_tally
from proxy.reporting.totals import Dimension, read_usage
from proxy.reporting.verify.verification import verify
from proxy.store.clients import now_ms
from tests.history.fakes import NOW, Archive, event
from tests.reporting.ledger_fixture import milliseconds, utc

WHOLE = Days(date(2020, 10, 1), date(2020, 11, 30))
OLD = milliseconds(utc("2020-10-31T23:59:59.999"))


@pytest.mark.parametrize(
    ("now", "months", "first"),
    [
        ("2026-11-29", 1, date(2026, 10, 1)),
        ("2026-01-01", 1, date(2025, 12, 1)),
        ("2026-03-31", 12, date(2025, 3, 1)),
        ("2026-12-31T23:59:59.999", 11, date(2026, 1, 1)),
        ("2026-11-29", 1_200, date(1926, 11, 1)),
    ],
)
def test_whole_months_before_the_current_one_are_kept(now: str, months: int, first: date) -> None:
    assert wanted(milliseconds(utc(now)), months) == start_of(first)


@pytest.mark.parametrize(
    ("closed", "first_entry", "boundary"),
    [
        (date(2026, 11, 27), None, date(2026, 10, 1)),
        (date(2026, 9, 30), None, date(2026, 10, 1)),
        (date(2026, 9, 29), None, date(2026, 9, 1)),  # the totals of September 30 still stand in Redis
        (date(2026, 11, 27), date(2026, 8, 15), date(2026, 8, 1)),  # the stream has entries of August
        (None, None, date(1970, 1, 1)),
    ],
)
def test_what_redis_still_has_is_not_pruned(closed: date | None, first_entry: date | None, boundary: date) -> None:
    first = None if first_entry is None else start_of(first_entry)
    assert allowed(start_of(date(2026, 10, 1)), closed, first) == start_of(boundary)


async def prune_all(archive: Archive, now: str = "2031-01-01", months: int = 1) -> int:
    """Prune as the program of a later time would, with whatever the streams hold today; return how many went."""
    bound = wanted(milliseconds(utc(now)), months)
    deleted = 0
    for tag in range(len(archive.keys.tags)):
        deleted += (await archive.history.write(_as_if_closed, tag, bound))[1]
    return deleted


def _as_if_closed(connection: Any, tag: int, bound: int) -> Any:
    return pruning.prune(connection, tag, bound, None)


async def usage_of(archive: Archive, app: str) -> Any:
    return (await read_usage(archive.sources, app, WHOLE, (Dimension.USER, Dimension.MODEL, Dimension.DAY))).rows()


async def _aged(archive: Archive, number: int = 3) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Archive events whose entries are as old as they are, by ids of 2020; return the entries."""
    stream = archive.stream("app_one")
    written = []
    for each in range(number):
        made = event(time=OLD + each, id=f"old-{each}")
        fields = (await archive.client.xrange(stream, await archive.add(made, 10**27 + each, wallet="app")))[0][1]
        written.append((f"{OLD + each}-1".encode(), fields))
    await archive.client.delete(stream)
    for entry, fields in written:
        await archive.client.xadd(stream, fields, id=entry)
    assert await archive.advance()
    return written


@pytest.mark.ci
async def test_the_archiver_prunes_what_the_settings_say_and_leaves_an_audit_line(archive: Archive) -> None:
    await _aged(archive)
    kept = event()
    await archive.add(kept, 1)
    await archive.client.config_set("stream-node-max-entries", 1)
    assert await archive.advance()
    used = await usage_of(archive, "app_one")
    assert await archive.advance(HistorySettings(keep_in_redis_seconds=0, events_months=1_000))
    assert len(await archive.in_history()) == 4

    assert await archive.advance(HistorySettings(keep_in_redis_seconds=0, events_months=12))

    first_kept = day_of(wanted(await now_ms(archive.client), 12))
    assert await archive.in_history() == [kept.id]
    assert archive.reports.counts["pruned"] == 3
    assert await usage_of(archive, "app_one") == used
    assert (await verify(archive.sources, {}))[0] == []
    [line], _ = await AuditReader(archive.client, archive.history).page(AuditFilter())
    assert (line.line.actor, line.line.action, line.line.numbers["events"]) == ("archiver", "history.prune", 3)
    tally = await read_tally(archive.sources, "app_one", WHOLE)
    statement = tally.statement({})
    assert (statement.amount(), statement.events) == (3 * 10**27 + 3, 0)
    assert f"events before {first_kept} were pruned" in statement.notes[0]


async def test_a_redis_older_than_the_pruning_is_not_archived_again(archive: Archive) -> None:
    entries = await _aged(archive)
    await archive.client.config_set("stream-node-max-entries", 1)
    assert await archive.advance()
    assert await prune_all(archive, "2026-11-29") == 3
    used = await usage_of(archive, "app_one")
    await archive.client.delete(archive.stream("app_one"))
    for entry, fields in entries:
        await archive.client.xadd(archive.stream("app_one"), fields, id=entry)
    assert (await verify(archive.sources, {}))[0] == []
    assert await archive.advance()
    assert await archive.in_history() == []
    assert await usage_of(archive, "app_one") == used
    assert (await verify(archive.sources, {}))[0] == []


async def test_what_an_export_group_has_not_got_yet_stays(archive: Archive) -> None:
    await _aged(archive)
    tag = archive.keys.tags.index(archive.keys.tag("app_one"))
    cursor = (await archive.history.read(queries.cursors))[tag]
    first = (await archive.history.read(queries.of_tag, tag, 0, cursor.seq))[0].seq
    await archive.history.write(place, "late", tag, GroupPosition(first, START, 0, cursor.seq))
    bound = wanted(milliseconds(utc("2026-11-29")), 1)
    planned, number = await archive.history.read(pruning.dry_run, tag, bound, None)
    assert (planned.groups, number) == (("late",), 1)
    assert await prune_all(archive, "2026-11-29") == 1
    assert len(await archive.in_history()) == 2


async def test_a_group_that_holds_up_the_archiver_s_pruning_is_reported_once(archive: Archive) -> None:
    await _aged(archive)
    await archive.client.config_set("stream-node-max-entries", 1)
    tag = archive.keys.tags.index(archive.keys.tag("app_one"))
    cursor = (await archive.history.read(queries.cursors))[tag]
    await archive.history.write(place, "late", tag, GroupPosition(0, START, 0, cursor.seq))
    archiver = archive.archiver(HistorySettings(keep_in_redis_seconds=0, events_months=12))
    for _ in range(2):
        assert await archiver.advance()
    assert archive.reports.lines == [("holds", archive.stream("app_one"), "late")]
    assert len(await archive.in_history()) == 3
    await archiver.release()


@pytest.mark.ci
async def test_pruning_goes_on_where_it_was_cut_off(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    await _aged(archive, 7)
    monkeypatch.setattr(pruning, "BATCH", 3)
    for left in (4, 1, 0):
        await prune_all(archive, "2026-11-29")
        assert len(await archive.in_history()) == left
        assert (await verify(archive.sources, {}))[0] == []
    await archive.advance(NOW)
    await archive.add(event(), 1)
    await archive.advance(NOW)
    assert len(await archive.in_history()) == 1
