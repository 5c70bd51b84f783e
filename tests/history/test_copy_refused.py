"""What PostgreSQL refuses while rows are copied into it leaves the events in Redis, and ends no process."""

from __future__ import annotations

from sqlalchemy import Connection, text

from middlewares.ledger.redis_keys import RedisKeys
from proxy.history.store import History
from proxy.store.store import Store
from tests.history.fakes import TAGS, Archive, event
from tests.history.postgres import Postgres

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
