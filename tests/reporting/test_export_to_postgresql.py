"""Exports into a table of PostgreSQL: each event once, amounts exact, whatever happens to exporter and server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.reporting.export.postgresql import PostgresqlSink
from proxy.reporting.export.sinks import Refused
from tests.reporting.command import Command
from tests.reporting.exporter_run import NAMES, ExporterRun, many
from tests.reporting.ledger_fixture import RecordedUsage
from tests.store.servers import eventually
from tests.support.postgresql_server import PASSWORD, PostgresqlServer

pytestmark = pytest.mark.ci


HUGE = 10**27 + 1


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[PostgresqlServer]:
    server = PostgresqlServer(tmp_path / "postgresql").start()
    yield server
    server.kill()


def ids(postgresql: PostgresqlServer) -> list[str]:
    return sorted(row[0] for row in postgresql.query("select id from tollgate_events"))


def sink(postgresql: PostgresqlServer, timeout: float = 10) -> PostgresqlSink:
    return PostgresqlSink(postgresql.url, "tollgate_events", NAMES, timeout)


async def test_a_second_group_inserts_nothing_and_amounts_are_exact(
    usage_records: RecordedUsage, tollgate: Command, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    written = await many(usage_records, 120)
    huge = await usage_records.request(await usage_records.app(), amount=HUGE)
    (tmp_path / "url").write_text(postgresql.url)
    for group in ("first", "second"):
        done = await tollgate(
            *("export", "--to", "postgresql", "--group", group),
            TOLLGATE_EXPORT__POSTGRESQL_URL_FILE=str(tmp_path / "url"),
        )
        assert done.err == "tollgate: 121 events exported, 0 set aside\n"
    assert ids(postgresql) == sorted([*written, huge])
    [[amount, text]] = postgresql.query(f"select amount, event->>'amount' from tollgate_events where id = '{huge}'")
    assert (int(amount), text) == (HUGE, str(HUGE))


@pytest.mark.slow
async def test_kill_nine_of_the_exporter_in_the_middle(
    usage_records: RecordedUsage, tollgate: Command, postgresql: PostgresqlServer
) -> None:
    written = await many(usage_records, 200)
    options = ("export", "--to", "postgresql", "--batch", "5", "--takeover", "1", "--table", "public.tollgate_events")
    secrets = {"TOLLGATE_EXPORT__POSTGRESQL_URL": postgresql.url}
    process = await tollgate.start(*options, environment=secrets)
    await eventually(lambda: bool(postgresql.query("select to_regclass('tollgate_events')")[0][0]))
    process.kill()
    await process.communicate()
    assert (await tollgate(*options, **secrets)).code == 0
    assert ids(postgresql) == sorted(written)


async def test_kill_nine_of_the_server(usage_records: RecordedUsage, postgresql: PostgresqlServer) -> None:
    run = ExporterRun(usage_records, sink(postgresql), patience=None)
    async with run.following():
        written = await many(usage_records, 10)
        await eventually(lambda: run.exporter.delivered == 10)
        postgresql.kill()
        written += await many(usage_records, 10)
        await eventually(lambda: bool(run.reports))
        await asyncio.to_thread(postgresql.start)
        await eventually(lambda: run.exporter.delivered == 20)
    assert ids(postgresql) == sorted(written)
    assert run.reports[-1] == "works again"
    assert run.exporter.set_aside == 0


async def test_a_frozen_server_is_not_waited_for(usage_records: RecordedUsage, postgresql: PostgresqlServer) -> None:
    run = ExporterRun(usage_records, sink(postgresql, timeout=0.5), patience=None)
    async with run.following():
        written = await many(usage_records, 5)
        await eventually(lambda: run.exporter.delivered == 5)
        postgresql.freeze()
        loop = asyncio.get_running_loop()
        began = loop.time()
        written += await many(usage_records, 5)
        await eventually(lambda: bool(run.reports))
        assert loop.time() - began < 4
        postgresql.thaw()
        await eventually(lambda: run.exporter.delivered == 10)
    assert "did not take a batch within 0.5 seconds" in run.reports[0]
    assert ids(postgresql) == sorted(written)


async def test_a_row_that_postgresql_refuses_is_set_aside(
    usage_records: RecordedUsage, postgresql: PostgresqlServer
) -> None:
    app = await usage_records.app()
    written = await usage_records.requests(app, 5)
    await usage_records.request(app, model="a\0b")
    written += await usage_records.requests(app, 5)
    run = ExporterRun(usage_records, sink(postgresql))
    assert await run.drain() == 10
    assert ids(postgresql) == sorted(written)
    assert run.exporter.set_aside == 1
    assert "PostgreSQL refuses a row" in run.reports[0]


@pytest.mark.slow
async def test_neither_password_nor_address_is_shown(
    usage_records: RecordedUsage, tollgate: Command, postgresql: PostgresqlServer
) -> None:
    await many(usage_records, 5)
    wrong = (
        postgresql.url.replace(PASSWORD, "sesame-wrong"),
        postgresql.url.replace("/postgres", "/sesame"),
        "postgresql://sesame:sesame@127.0.0.1:1/x",
        "sesame",
        "postgresql://u:sesame@127.0.0.1:notaport/x",
    )
    for url in wrong:
        done = await tollgate("export", "--to", "postgresql", "--patience", "0", TOLLGATE_EXPORT__POSTGRESQL_URL=url)
        assert done.code == 1, done.err
        assert "sesame" not in done.err.replace('database "sesame"', "")
        assert "PostgreSQL" in done.err
    postgresql.query("create table tollgate_events (id int primary key)")
    with pytest.raises(Refused, match="42"):
        await ExporterRun(usage_records, sink(postgresql)).drain()
    assert (await tollgate("export", "--to", "stdout")).err == "tollgate: 5 events exported, 0 set aside\n"
