"""Whatever is pruned, and whatever comes late: usage, statements and verification are what they were.

The span of usage is short on purpose: each of its days that is not closed is a command to Redis.
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from config.workloads import Unit
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.batch import start_of
from proxy.history.retention.prune import PrunePlan, prune
from proxy.history.tables import EVENTS as ROWS
from proxy.reporting.dates import Days
from proxy.reporting.statements.account import read_tally
from proxy.reporting.statements.statement import Statement, Tally
from proxy.reporting.totals import Dimension, read_usage
from proxy.reporting.verify.verification import verify
from tests.history.fakes import TAGS, Archive
from tests.history.postgres import Postgres
from tests.history.test_any_split import APPS, EVENTS, Model, _add, opened
from tests.reporting.ledger_fixture import utc

pytestmark = pytest.mark.ci


WHOLE = Days(date(2020, 10, 1), date(2020, 12, 2))
OF_PERIODS = [Days(date(2020, 10, 1), date(2020, 10, 31)), Days(date(2020, 11, 1), date(2020, 11, 30)), WHOLE]
MOMENTS = [
    utc(text) for text in ("2020-10-31T23:59:59.999", "2020-11-01T00:00", "2020-11-30T12:00", "2020-12-01T00:00")
]
DRAWN = EVENTS.flatmap(lambda drawn: st.sampled_from(MOMENTS).map(lambda at: drawn | {"at": at}))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(DRAWN, min_size=1, max_size=5)),
        st.tuples(st.just("archive"), st.none()),
        st.tuples(st.just("prune"), st.sampled_from([date(2020, 11, 1), date(2020, 12, 1), date(2021, 1, 1)])),
    ),
    min_size=2,
    max_size=6,
)
CAMPAIGN = settings(
    max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


async def play(archive: Archive, steps: list[Any]) -> int:
    """Do the steps, and check after each; return how many events were pruned."""
    await archive.client.flushall()
    await archive.client.config_set("stream-node-max-entries", 1)
    model, pruned = Model([]), 0
    for name, detail in steps:
        if name == "add":
            for drawn in detail:
                await _add(archive, model, drawn)
        elif name == "archive":
            assert await archive.advance()
        else:
            assert await archive.advance()
            pruned += await _prune(archive, detail)
        await _check(archive, model)
    return pruned


async def _prune(archive: Archive, before: date) -> int:
    """Prune as if each archived entry had been written at the time of its event."""
    gone = 0

    def aged(connection: Connection, tag: int) -> tuple[PrunePlan, int]:
        connection.execute(update(ROWS).values(entry_ms=ROWS.c.time))
        return prune(connection, tag, start_of(before), None)

    for tag in range(len(archive.keys.tags)):
        gone += (await archive.history.write(aged, tag))[1]
    return gone


async def _check(archive: Archive, model: Model) -> None:
    for app in APPS:
        usage = await read_usage(archive.sources, app, WHOLE, (Dimension.USER, Dimension.MODEL, Dimension.MONTH))
        found = {
            group: (total.requests, total.units.get(Unit.PIXELS, 0), total.amount) for group, total in usage.rows()
        }
        assert found == model.usage(app, WHOLE)
        for days in OF_PERIODS:
            expected = Tally(days)
            for each in model.of(app):
                if each.event.time < days.end_ms:
                    expected.add(each)
            statement = (await read_tally(archive.sources, app, days)).statement({})
            assert _sums(statement) == _sums(expected.statement({}))
    assert (await verify(archive.sources, {}))[0] == []


def _sums(statement: Statement) -> Any:
    """Return what a statement says that does not need single events."""
    lines: dict[tuple[str, str], list[int]] = {}
    for line in statement.lines:
        sums = lines.setdefault((line.key.workload, line.key.model), [0, 0, 0])
        sums[0] += line.total.requests
        sums[1] += line.total.units.get(Unit.PIXELS, 0)
        sums[2] += line.total.amount
    return lines, {user: wallet.plain() for user, wallet in statement.wallets if any(map(int, wallet.plain().values()))}


@pytest.mark.slow
@given(steps=STEPS)
@CAMPAIGN
async def test_on_sqlite(store: Any, steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(f"sqlite:///{Path(folder)}/history.sqlite") as history:
            await play(Archive(store.redis, RedisKeys(TAGS, cluster=False), history), steps)


@pytest.mark.slow
@given(steps=STEPS)
@settings(CAMPAIGN, max_examples=3)
async def test_on_postgresql(store: Any, postgres: Postgres, steps: list[Any]) -> None:
    async with opened(postgres.database()) as history:
        await play(Archive(store.redis, RedisKeys(TAGS, cluster=False), history), steps)


async def test_events_are_pruned_at_all(archive: Archive) -> None:
    """The campaign above would also pass if nothing was ever pruned."""
    drawn = {"app": "app_one", "user": "u1", "model": "m", "type": "usage", "part": 0, "pixels": 3, "amount": 10**27}
    added = [drawn | {"wallet": "user", "at": moment} for moment in MOMENTS]
    steps = [("add", added), ("prune", date(2020, 11, 1)), ("add", added), ("prune", date(2020, 12, 1)), ("add", added)]
    assert await play(archive, [*steps, ("prune", date(2021, 1, 1))]) == len(added) * 3


@pytest.mark.fuzz
@given(steps=STEPS)
@settings(CAMPAIGN, max_examples=300)
async def test_many_on_sqlite(store: Any, steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(f"sqlite:///{Path(folder)}/history.sqlite") as history:
            await play(Archive(store.redis, RedisKeys(TAGS, cluster=False), history), steps)
