"""Wherever events are, usage, statements and events are the same: any split, any trim, any repeated delivery."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from config.history import HistorySettings
from config.workloads import Unit
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.batch import day_of
from proxy.history.store import History
from proxy.history.tables import CURSORS
from proxy.reporting.dates import Days, month_of
from proxy.reporting.statements.account import read_tally
from proxy.reporting.statements.statement import Tally
from proxy.reporting.stream import AppEvents, RecordedEvent
from proxy.reporting.totals import Dimension, read_usage
from proxy.reporting.verify.verification import verify
from tests.history.fakes import TAGS, Archive, event
from tests.history.postgres import Postgres
from tests.reporting.ledger_fixture import ALWAYS, milliseconds, utc
from tests.support.examples import examples

pytestmark = pytest.mark.ci


HUGE = 10**27 + 7
APPS = ("app_one", "app_two", "app_three")
MOMENTS = [
    utc(text) for text in ("2020-10-31T23:59:59.999", "2020-11-01T00:00", "2020-11-30T12:00", "2026-11-29T00:00")
]
NOVEMBER = month_of(date(2020, 11, 1))
WHOLE = Days(date(2020, 10, 1), date(2027, 1, 1))

Step = tuple[str, Any]

EVENTS = st.fixed_dictionaries(
    {
        "app": st.sampled_from(APPS),
        "user": st.sampled_from([None, "u1", "ü|2"]),
        "model": st.sampled_from(["m", "=a|b%", ""]),
        "at": st.sampled_from(MOMENTS),
        "type": st.sampled_from(["usage", "usage", "adjustment", "credit"]),
        "part": st.integers(0, 2),
        "pixels": st.integers(-3, 2**40),
        "amount": st.one_of(st.integers(-5, 5), st.sampled_from([HUGE, -HUGE, 2**63])),
        "wallet": st.sampled_from(["", "app", "user"]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(EVENTS, min_size=1, max_size=8)),
        st.tuples(st.just("archive"), st.tuples(st.integers(1, 5), st.sampled_from([0, 10**7]))),
        st.tuples(st.just("replace server"), st.none()),
        st.tuples(st.just("lose and replay"), st.integers(1, 3)),
    ),
    min_size=2,
    max_size=10,
)


@dataclass
class Model:
    """Every event that was ever settled, in a list."""

    events: list[RecordedEvent]

    def of(self, app: str) -> list[RecordedEvent]:
        return [each for each in self.events if each.event.app == app]

    def usage(self, app: str, days: Days) -> dict[tuple[str, ...], tuple[int, int, int]]:
        """Return requests, pixels and amount by user, model and month."""
        found: defaultdict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
        for each in self.of(app):
            if each.event.type == "credit" or each.event.time not in days:
                continue
            month = day_of(each.event.time).isoformat()[:7]
            sums = found[each.event.user or "", each.event.model, month]
            sums[0] += each.event.type == "usage" and each.event.part <= 1
            sums[1] += each.event.units.get(Unit.PIXELS, 0)
            sums[2] += int(each.amount)
        return {group: (requests, pixels, amount) for group, (requests, pixels, amount) in found.items()}

    def statement(self, app: str) -> Any:
        tally = Tally(NOVEMBER)
        for each in self.of(app):
            if each.event.time < NOVEMBER.end_ms:
                tally.add(each)
        return tally.statement({})


async def check(archive: Archive, model: Model) -> None:
    """Compare everything that is read with the model."""
    dimensions = (Dimension.USER, Dimension.MODEL, Dimension.MONTH)
    for app in APPS:
        read = [each async for each in AppEvents(archive.sources, app).read(ALWAYS)]
        assert sorted(read, key=_place) == sorted(model.of(app), key=_place)
        for days in (WHOLE, NOVEMBER):
            usage = await read_usage(archive.sources, app, days, dimensions)
            found = {
                group: (total.requests, total.units.get(Unit.PIXELS, 0), total.amount) for group, total in usage.rows()
            }
            assert found == model.usage(app, days)
        tally = await read_tally(archive.sources, app, NOVEMBER)
        assert tally.statement({}) == model.statement(app)
    differences, counts = await verify(archive.sources, {})
    assert (differences, counts.events) == ([], len(model.events))


def _place(recorded: RecordedEvent) -> tuple[int, str]:
    return recorded.event.time, recorded.event.id


async def play(archive: Archive, steps: Sequence[Step]) -> None:
    """Do the steps, and check after each."""
    await archive.client.flushall()
    await archive.client.config_set("stream-node-max-entries", 1)  # so that every entry is trimmed by itself
    model = Model([])
    for name, detail in steps:
        if name == "add":
            for drawn in detail:
                await _add(archive, model, drawn)
        elif name == "archive":
            batch, kept = detail
            assert await archive.advance(HistorySettings(batch=batch, keep_in_redis_seconds=kept))
            assert kept or not await archive.in_redis()
        elif name == "replace server":
            await archive.history.write(lambda connection: connection.execute(update(CURSORS).values(server="another")))
        else:
            await _lose_and_replay(archive, detail)
        await check(archive, model)
    assert not [line for line in archive.reports.lines if line[0] == "differ"]


async def _add(archive: Archive, model: Model, drawn: dict[str, Any]) -> None:
    credit = drawn["type"] == "credit"
    wallet = drawn["wallet"] or ("app" if credit else "")
    if wallet == "user" and drawn["user"] is None:
        wallet = "app"
    each = event(
        drawn["app"],
        user=drawn["user"],
        model="" if credit else drawn["model"],
        time=milliseconds(drawn["at"]),
        type=drawn["type"],
        part=0 if credit else drawn["part"],
        units={} if credit else {Unit.REQUESTS: 1, Unit.PIXELS: drawn["pixels"]},
        plan="" if credit else "unlimited@1",
    )
    await archive.add(each, drawn["amount"], wallet=wallet)
    model.events.append(RecordedEvent(each, str(drawn["amount"]), wallet))


async def _lose_and_replay(archive: Archive, number: int) -> None:
    """Lose the end of each stream, as a failover does, and have the ledger write it again under other ids."""
    for stream in archive.streams():
        lost = await archive.client.xrevrange(stream, count=number)
        for entry, fields in reversed(lost):
            await archive.client.xdel(stream, entry)
            await archive.client.xadd(stream, fields)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[History]:
    history = History.at(url)
    await history.upgrade()
    try:
        yield history
    finally:
        await history.close()


CAMPAIGN = settings(
    max_examples=examples(6, 40),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)


@given(steps=STEPS)
@CAMPAIGN
async def test_on_sqlite(store: Any, steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(f"sqlite:///{Path(folder)}/history.sqlite") as history:
            await play(Archive(store.redis, RedisKeys(TAGS, cluster=False), history), steps)


@pytest.mark.slow
@given(steps=STEPS)
@settings(CAMPAIGN, max_examples=examples(4, 40))
async def test_on_postgresql(store: Any, postgres: Postgres, steps: list[Step]) -> None:
    async with opened(postgres.database()) as history:
        await play(Archive(store.redis, RedisKeys(TAGS, cluster=False), history), steps)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@given(steps=STEPS)
@settings(CAMPAIGN, max_examples=500)
async def test_many_on_sqlite(store: Any, steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(f"sqlite:///{Path(folder)}/history.sqlite") as history:
            await play(Archive(store.redis, RedisKeys(TAGS, cluster=False), history), steps)
