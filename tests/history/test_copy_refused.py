"""What PostgreSQL refuses while rows are copied into it leaves the events in Redis, and ends no process."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import Connection, text

from config.history import HistorySettings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.store import History
from proxy.reporting.dates import Days
from proxy.reporting.totals import Dimension, read_usage
from proxy.reporting.verify.verification import verify
from proxy.store.store import Store
from tests.history.fakes import NOW, TAGS, Archive, event
from tests.history.postgres import Postgres

pytestmark = pytest.mark.ci


FULL = """create function full_disk() returns trigger language plpgsql as $$
begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$"""


def _fill(connection: Connection) -> None:
    connection.execute(text(FULL))
    where = "before insert on tollgate_events for each row execute function full_disk()"
    connection.execute(text(f"create trigger no_space {where}"))


def _empty(connection: Connection) -> None:
    connection.execute(text("drop trigger no_space on tollgate_events"))


async def test_a_full_disk_of_postgresql_is_reported_and_nothing_is_lost(store: Store, postgres: Postgres) -> None:
    """Hazard: the driver's own exception ended the archiver's process, and the webhooks with it, again and again."""
    history = History.at(postgres.database())
    await history.upgrade()
    archive = Archive(store.redis, RedisKeys(TAGS, cluster=False), history)
    await history.write(_fill)
    made = event()
    await archive.add(made, 1)
    assert not await archive.advance()
    [line] = archive.reports.lines
    assert line == ("unavailable", "the history cannot be used: could not extend file: No space left on device")
    assert await archive.in_redis() == [made.id]
    await history.write(_empty)
    assert await archive.advance()
    assert await archive.in_history() == [made.id]
    await history.close()


async def test_a_model_with_a_nul_does_not_end_archiving(archive: Archive) -> None:
    """Hazard: any client could stop the history for good, as PostgreSQL has no such character."""
    days = Days(date(2026, 9, 1), date(2026, 9, 30))
    named = [event(model=model) for model in ("a\0b", "a\ufffdb", "a|\0%")]
    for each in named:
        await archive.add(each, 10**27)
    for settings in (HistorySettings(keep_in_redis_seconds=3600, keep_totals_days=366), NOW):
        assert await archive.advance(settings)
        assert archive.reports.lines == []
        assert sorted(await archive.in_history()) == sorted(each.id for each in named)
        used = await read_usage(archive.sources, "app_one", days, (Dimension.MODEL,))
        amounts = {group: total.amount for group, total in used.rows()}
        assert amounts == {("a\ufffdb",): 2 * 10**27, ("a|\ufffd%",): 10**27}
        assert (await verify(archive.sources, {}))[0] == []
