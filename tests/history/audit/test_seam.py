"""The audit log reads as one, whatever part of it is in the history already."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import STREAM, AuditLog
from proxy.history.audit.reader import AuditReader, parse_token
from proxy.history.audit.rows import AuditFilter, append
from proxy.history.audit.waiting import line_in
from proxy.history.store import History, HistoryUnavailable
from tests.history.audit.lines import EVERYTHING, KEY, OPERATOR, verdict, written
from tests.history.fakes import Archive

pytestmark = pytest.mark.ci


ACTIONS = ("key.create", "key.revoke", "keys.other", "user.create")
APPS = ("app_one", "app_two")
ACTORS = st.sampled_from(["root", "other"])


def _filters() -> st.SearchStrategy[AuditFilter]:
    return st.builds(
        AuditFilter,
        app=st.none() | st.sampled_from(APPS),
        actor=st.none() | ACTORS,
        action=st.none() | st.sampled_from(["key", "key.create", "user", "ke%"]),
    )


@given(data=st.data())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_pages_have_each_line_once_in_order(sync_archive: tuple[asyncio.Runner, Archive], data: st.DataObject) -> None:
    """Any split between history and stream, any filter, any size of pages, and lines repeated by a lost trim."""
    runner, archive = sync_archive
    runner.run(_pages(archive, data))


async def _pages(archive: Archive, data: st.DataObject) -> None:
    audit = AuditLog(archive.client)
    acts = data.draw(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(APPS), ACTORS), max_size=8))
    moved, trimmed = (data.draw(st.integers(0, len(acts))) for _ in range(2))
    wanted, size = data.draw(_filters()), data.draw(st.integers(1, 4))
    await archive.client.delete(STREAM)
    for action, app, actor in acts:
        await audit.record(Actor(ActorKind.OPERATOR, actor), action, AuditTarget("key", "k", app))
    entries = await archive.client.xrange(STREAM)
    if moved:
        await archive.history.write(append, [line_in(*each) for each in entries[:moved]])
        if gone := [name for name, _ in entries[: min(moved, trimmed)]]:
            await archive.client.xdel(STREAM, *gone)
    everything = [each async for each in AuditReader(archive.client, archive.history).all(EVERYTHING)]
    places = [(each.place.time, each.place.entry_seq) for each in everything]
    assert places == sorted(places, reverse=True)
    assert len({each.place.id for each in everything}) == len(everything)
    assert {line_in(*each)[2].id for each in entries} <= {each.place.id for each in everything}
    reader, found = AuditReader(archive.client, archive.history), []
    token: str | None = ""
    while token is not None:
        lines, token = await reader.page(wanted, limit=size, before=parse_token(token) if token else None)
        assert len(lines) <= size
        found += lines
    assert [each.place.id for each in found] == [
        each.place.id for each in everything if wanted.matches(each.time, each.line)
    ]
    assert (await verdict(archive)).findings == ()


async def test_no_act_is_refused_while_the_history_is_away(archive: Archive) -> None:
    """Lines wait in Redis, and are chained once it is back."""
    away = History.at("postgresql://nobody@127.0.0.1:1/none")
    without = Archive(archive.client, archive.keys, away)
    for number in range(3):
        await AuditLog(archive.client).record(OPERATOR, "key.revoke", KEY, detail={"number": number})
    assert not await without.advance()
    with pytest.raises(HistoryUnavailable):
        await AuditReader(archive.client, away).page(EVERYTHING)
    assert await archive.client.xlen(STREAM) == 3
    assert (await archive.archiver().lag())[0] > 0
    assert await archive.advance()
    assert await archive.client.xlen(STREAM) == 0
    lines, following = await AuditReader(archive.client, archive.history).page(EVERYTHING)
    assert [each.line.numbers["number"] for each in lines] == [2, 1, 0]
    assert [each.seq for each in lines] == [3, 2, 1]
    assert following is None


async def test_what_is_no_line_is_kept_and_stops_nothing(archive: Archive) -> None:
    """Hazard: one entry that somebody else wrote keeps every later line out of the history."""
    for fields in ({"line": "no JSON"}, {"other": b"\xff"}, {"line": '{"id":"\\u0000"}'}):
        await archive.client.xadd(STREAM, fields)
    await written(archive, 1)
    assert [line[0] for line in archive.reports.lines] == ["unreadable"] * 3
    lines, _ = await AuditReader(archive.client, archive.history).page(EVERYTHING)
    assert [each.line.action for each in lines] == ["key.revoke", *["audit.unreadable"] * 3]
    assert (await verdict(archive)).findings == ()


async def test_two_archivers_at_once_add_each_line_once(archive: Archive) -> None:
    """Hazard: an archiver that was replaced and does not know it yet."""
    for number in range(40):
        await AuditLog(archive.client).record(OPERATOR, "key.revoke", KEY, detail={"number": number})
    lines = [line_in(*each) for each in await archive.client.xrange(STREAM)]
    done = await asyncio.gather(
        *(archive.history.write(append, lines[start : start + 20]) for start in (0, 10, 20)),
        archive.history.write(append, lines),
    )
    assert sum(added for _, added in done) == 40
    found = await verdict(archive)
    assert (found.lines, found.findings) == (40, ())
