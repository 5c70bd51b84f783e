"""Export groups hold up trimming while somebody reads them; late ones begin in the history, and none misses a thing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from config.history import HistorySettings
from proxy.history import queries
from proxy.history.archive import trimmer
from proxy.history.archive.groups import positions
from proxy.history.status import GroupInUse, forget_group, streams
from proxy.history.tables import EXPORT_GROUPS
from proxy.reporting.export.group import ConsumerGroup
from tests.history.fakes import Archive, event

pytestmark = pytest.mark.ci


async def add(archive: Archive, count: int) -> list[str]:
    """Write events of several apps; return their ids."""
    ids = []
    for number in range(count):
        each = event(f"app_{number % 5}")
        await archive.add(each, 1)
        ids.append(each.id)
    return ids


async def received(group: ConsumerGroup, most: int = 10**6) -> list[str]:
    """Return the ids of the events that a group gets, and acknowledge them; stop after `most`."""
    found: list[str] = []
    while len(found) < most and (deliveries := await group.new(7)):
        found += [msgspec.json.decode(each.fields[b"event"])["id"] for each in deliveries]
        await group.acknowledge(deliveries)
    return found


async def exact(archive: Archive) -> None:
    """Let Redis trim every entry by itself."""
    client: Any = archive.client
    await client.config_set("stream-node-max-entries", 1)


async def test_nothing_leaves_redis_that_a_group_has_not_acknowledged(archive: Archive) -> None:
    await exact(archive)
    group = ConsumerGroup(archive.sources, "slow", 60)
    await group.create()
    ids = await add(archive, 40)
    unread = await group.new(3)
    assert await archive.advance()
    assert sorted(await archive.in_redis()) == sorted(ids)
    assert {line[0] for line in archive.reports.lines} == {"behind"}
    await group.acknowledge(unread)
    taken = [msgspec.json.decode(each.fields[b"event"])["id"] for each in unread]
    assert sorted(taken + await received(group)) == sorted(ids)
    assert await archive.advance()
    assert await archive.in_redis() == []


async def test_a_group_that_begins_late_gets_everything_once(archive: Archive) -> None:
    await exact(archive)
    ids = await add(archive, 60)
    assert await archive.advance()
    ids += await add(archive, 10)
    assert await archive.advance(HistorySettings(keep_in_redis_seconds=3600))  # these are in both
    ids += await add(archive, 10)
    first = ConsumerGroup(archive.sources, "late", 60)
    await first.create()
    begun = await received(first, most=20)
    assert await archive.advance()
    again, beside = ConsumerGroup(archive.sources, "late", 60), ConsumerGroup(archive.sources, "late", 60)
    await again.create()
    await beside.create()
    assert await again.pending() > 0
    await first.release([])
    rest = await received(again) + await received(beside)
    assert sorted(begun + rest) == sorted(ids)
    assert await again.pending() == 0
    assert await archive.advance()
    assert await archive.in_redis() == []


async def test_a_group_that_nobody_reads_expires_and_returns_where_it_was(archive: Archive) -> None:
    await exact(archive)
    settings = HistorySettings(keep_in_redis_seconds=0, export_group_expiry_seconds=60)
    group = ConsumerGroup(archive.sources, "gone", 60)
    await group.create()
    ids = await add(archive, 30)
    before = await received(group)
    assert sorted(before) == sorted(ids)
    await group.leave()
    later = await add(archive, 30)
    assert await archive.advance(settings)
    assert len(await archive.in_redis()) == 30
    long_ago = update(EXPORT_GROUPS).values(changed_ms=EXPORT_GROUPS.c.changed_ms - 60_000)
    await archive.history.write(lambda connection: connection.execute(long_ago))
    assert await archive.advance(settings)
    assert {line[0] for line in archive.reports.lines} == {"behind", "expired"}
    assert await archive.in_redis() == []
    back = ConsumerGroup(archive.sources, "gone", 60)
    await back.create()
    assert sorted(await received(back)) == sorted(later)


def last_seqs(connection: Any) -> dict[int, int]:
    """Return up to where each hash tag is archived."""
    return {tag: found.seq for tag, found in queries.cursors(connection).items()}


async def test_a_stream_that_stays_empty_tells_how_far_its_groups_came(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a group has everything, and the months of a quiet app are kept for it."""
    await exact(archive)
    monkeypatch.setattr(trimmer, "RECORD_MS", 10**9)
    group = ConsumerGroup(archive.sources, "prompt", 60)
    await group.create()
    archiver = archive.archiver()
    await add(archive, 20)
    assert await archiver.advance()  # it is behind, and that is recorded
    await received(group)
    assert await archiver.advance()
    assert await archive.in_redis() == []
    monkeypatch.setattr(trimmer, "RECORD_MS", 0)
    assert await archiver.advance()
    ends = await archive.history.read(last_seqs)
    for tag, end in ends.items():
        assert (await archive.history.read(positions, tag))["prompt"].seq == end
    await archiver.release()


async def test_a_group_that_is_forgotten_is_gone_from_redis_and_history(archive: Archive) -> None:
    await exact(archive)
    group = ConsumerGroup(archive.sources, "gone", 60)
    await group.create()
    ids = await add(archive, 10)
    unread = await group.new(1)
    with pytest.raises(GroupInUse):
        await forget_group(archive.sources, "gone")
    await group.acknowledge(unread)
    await group.leave()
    assert await archive.advance()
    assert len(await archive.in_redis()) > 0
    assert await forget_group(archive.sources, "gone") == len(archive.keys.tags)
    assert await forget_group(archive.sources, "gone") == 0
    assert {name for each in await streams(archive.sources) for name in each["groups"]} == set()
    assert await archive.advance()
    assert await archive.in_redis() == []
    again = ConsumerGroup(archive.sources, "gone", 60)
    await again.create()
    assert sorted(await received(again)) == sorted(ids)


async def test_a_group_that_only_the_history_knows_is_shown(archive: Archive) -> None:
    """Hazard: it holds up pruning, and nothing names it."""
    await exact(archive)
    ids = await add(archive, 10)
    assert await archive.advance()
    group = ConsumerGroup(archive.sources, "gone", 60)
    await group.create()
    await group.leave()
    for stream in archive.streams():
        await archive.client.xgroup_destroy(stream, "gone")
    groups = [each for found in await streams(archive.sources) for each in found["groups"]]
    assert {(each["name"], each["in_redis"]) for each in groups} == {("gone", False)}
    assert sum(each["waiting"] for each in groups) == len(ids)
