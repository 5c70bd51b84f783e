"""Totals in Redis that are not those of the events: what it knows alone is kept, what it lost is not taken away."""

from __future__ import annotations

from datetime import date

import pytest

from config.history import HistorySettings
from middlewares.ledger.settlement.settle_call import totals_of
from proxy.history.totals.total import compact
from proxy.reporting.dates import Days
from proxy.reporting.statements.account import read_tally
from proxy.reporting.totals import UsageTotal, read_usage
from proxy.reporting.verify.verification import verify
from tests.history.fakes import NOW, Archive, event

pytestmark = pytest.mark.ci


DAY = date(2026, 9, 21)
KEEP = HistorySettings(keep_in_redis_seconds=3600, keep_totals_days=366)
HEAD = totals_of(None, None, "llm", "m/one")


async def usage(archive: Archive) -> UsageTotal:
    return (await read_usage(archive.sources, "app_one", Days(DAY, DAY), ())).total


async def test_usage_is_that_of_the_events_where_redis_lost_its_last_moments(archive: Archive) -> None:
    """Hazard: usage below the statement for ever, as Redis died a moment after its last events were archived."""
    for _ in range(3):
        await archive.add(event(), 10**27)
    name = archive.keys.usage("app_one", compact(DAY))
    before = await archive.client.hgetall(name)
    await archive.add(event(), 10**27)
    assert await archive.advance(KEEP)
    await archive.client.hset(name, mapping=before)
    assert (await usage(archive)).amount == 3 * 10**27

    assert await archive.advance(NOW)

    tally = await read_tally(archive.sources, "app_one", Days(DAY, DAY))
    assert tally.statement({}).amount() == 4 * 10**27
    found = await usage(archive)
    assert (found.requests, found.amount, found.units) == (4, 4 * 10**27, {"output_tokens": 12})
    assert (await verify(archive.sources, {}))[0] == []
    assert archive.reports.lines == [("differ", "app_one", "2026-09-21")]


async def test_what_redis_alone_has_counted_is_kept(archive: Archive) -> None:
    """Somebody has trimmed the stream by hand before it was archived."""
    lost = await archive.add(event(), 5)
    await archive.add(event(), 10**27)
    await archive.client.xdel(archive.stream("app_one"), lost)
    assert await archive.advance(NOW)
    assert (await usage(archive)).amount == 10**27 + 5
    assert {each.where.rpartition(" ")[2] for each in (await verify(archive.sources, {}))[0]} == {
        f"{HEAD}{what}" for what in ("requests", "output_tokens", "amount")
    }
    assert archive.reports.lines == [("differ", "app_one", "2026-09-21")]
