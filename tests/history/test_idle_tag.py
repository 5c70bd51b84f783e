"""Hazard: customers leave, and what they did last is kept for ever, as only new events of their hash tag close days."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import update

from config.history import HistorySettings
from proxy.history import queries
from proxy.history.tables import CURSORS
from proxy.reporting.verify.verification import verify
from tests.history.fakes import Archive
from tests.history.test_retention import OLD, _aged, usage_of

pytestmark = pytest.mark.ci


@pytest.mark.parametrize("months", [None, 12])
async def test_the_last_month_of_a_tag_without_new_events_is_closed_and_pruned(
    archive: Archive, months: int | None
) -> None:
    await archive.client.config_set("stream-node-max-entries", 1)
    entries = await _aged(archive)
    used = await usage_of(archive, "app_one")
    assert await archive.in_redis() == []
    last = date(2020, 11, 1)  # as it was two days after the last event
    await archive.history.write(lambda connection: connection.execute(update(CURSORS).values(closed=last)))

    assert await archive.advance(HistorySettings(keep_in_redis_seconds=0, events_months=months))

    tag = archive.keys.tags.index(archive.keys.tag("app_one"))
    closed = (await archive.history.read(queries.cursors))[tag].closed
    assert closed is not None
    assert closed > date(2026, 1, 1)
    assert len(await archive.in_history()) == (3 if months is None else 0)
    assert await usage_of(archive, "app_one") == used
    assert (await verify(archive.sources, {}))[0] == []
    assert entries[0][0].startswith(str(OLD).encode())
