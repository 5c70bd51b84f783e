"""`tollgate usage` and `tollgate events`, on what the real ledger has written."""

import asyncio
import csv
import io
import json
import os
import signal
from typing import Any

import pytest

from config.workloads import Unit, Workload
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage, utc

HUGE = 10**27 + 7
AT = utc("2020-11-30T23:59:59.999")
NOVEMBER = ("--from", "2020-11-01", "--to", "2020-11-30")
NOBODY = "app_aaaaaaaaaaaaaaaa"


async def filled(usage_records: RecordedUsage) -> str:
    app = await usage_records.app()
    await usage_records.request(app, user="u1", key="k1", units={Unit.PIXELS: 10}, amount=HUGE, at=AT)
    await usage_records.request(app, user="u1", model="=cmd|'/c calc'!A0", units={Unit.PIXELS: 2}, amount=1, at=AT)
    await usage_records.request(
        app, workload=Workload.LLM, model="a|b%\x1b[2J", amount=2, at=AT, outcome="client_disconnect"
    )
    await usage_records.request(app, amount=100, at=utc("2020-12-01T00:00"))
    return app


async def test_json(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await filled(usage_records)
    found = (await tollgate("usage", "--app", app, *NOVEMBER, "--group-by", "model", "--json")).json
    assert found["app"] == app
    assert (found["from"], found["to"]) == ("2020-11-01", "2020-11-30")
    assert found["currency"] == {"code": "ETH", "decimals": 18}
    assert found["totals"] == {"request_count": 3, "units": {"pixels": 12}, "amount": str(HUGE + 3)}
    assert isinstance(found["totals"]["request_count"], int)
    assert found["groups"] == [
        {"model": "=cmd|'/c calc'!A0", "request_count": 1, "units": {"pixels": 2}, "amount": "1"},
        {"model": "a|b%\x1b[2J", "request_count": 1, "units": {}, "amount": "2"},
        {"model": "m/one", "request_count": 1, "units": {"pixels": 10}, "amount": str(HUGE)},
    ]
    by_user = (await tollgate("usage", "--app", app, *NOVEMBER, "--group-by", "user", "--format", "json")).json
    assert [group["user"] for group in by_user["groups"]] == [None, "u1"]


async def test_csv(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await filled(usage_records)
    done = await tollgate("usage", "--app", app, *NOVEMBER, "--group-by", "model", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out, newline="")))
    assert [row["model"] for row in rows] == ["'=cmd|'/c calc'!A0", "a|b%\x1b[2J", "m/one"]
    assert sum(int(row["amount"]) for row in rows) == HUGE + 3
    assert [row["pixels"] for row in rows] == ["2", "0", "10"]
    whole = await tollgate("usage", "--app", app, *NOVEMBER, "--format", "csv")
    assert [row["request_count"] for row in csv.DictReader(io.StringIO(whole.out))] == ["3"]


async def test_table(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await filled(usage_records)
    done = await tollgate("usage", "--app", app, *NOVEMBER, "--group-by", "model", "--group-by", "day")
    header, *_, last = done.out.splitlines()
    assert header.split() == ["model", "day", "requests", "pixels", "amount", "ETH"]
    assert last.split() == ["total", "3", "12", str(HUGE + 3), "1000000000.00000000000000001"]
    assert "2020-11-30" in done.out
    assert "\x1b" not in done.out


async def test_the_current_month_is_the_default(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await filled(usage_records)
    await usage_records.request(app, amount=9)
    found = (await tollgate("usage", "--app", app, "--json")).json
    assert found["totals"] == {"request_count": 1, "units": {}, "amount": "9"}
    assert found["groups"] == []
    assert found["from"].endswith("-01")


@pytest.mark.parametrize("command", [("usage",), ("events",)])
async def test_an_app_that_does_not_exist(tollgate: Command, command: tuple[str, ...]) -> None:
    done = await tollgate(*command, "--app", NOBODY, "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"tollgate: there is no app {NOBODY}\n"


def parsed(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.ci
async def test_events(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await filled(usage_records)
    await filled(usage_records)
    found = parsed((await tollgate("events", "--app", app, "--json")).out)
    assert len(found) == 4
    first = found[0]
    assert (first["workload"], first["status"], first["outcome"]) == ("text-to-image", 200, "complete")
    assert (first["amount"], first["units"]) == (str(HUGE), {"requests": 1, "pixels": 10})
    assert (first["user"], first["key"], first["time"]) == ("u1", "k1", "2020-11-30T23:59:59.999Z")
    assert len({each["id"] for each in found}) == 4
    assert parsed((await tollgate("events", "--app", app, *NOVEMBER)).out) == found[:3]
    assert parsed((await tollgate("events", "--app", app, "--from", "2020-12-01")).out) == found[3:]
    assert parsed((await tollgate("events", "--app", app, "--limit", "2")).out) == found[:2]
    cut = await tollgate("events", "--app", app, "--outcome", "client_disconnect")
    assert parsed(cut.out) == [found[2]]


async def test_an_unreadable_entry_does_not_hide_the_rest(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    first = await usage_records.request(app)
    stream = usage_records.keys.shared(usage_records.keys.tag(app)).events
    await usage_records.store.redis.xadd(stream, {"event": f'{{"app":"{app}"}}', "amount": "1"})
    last = await usage_records.request(app)
    done = await tollgate("events", "--app", app)
    assert done.code == 1
    assert [each["id"] for each in parsed(done.out)] == [first, last]
    assert "is no usage event" in done.err


@pytest.mark.ci
async def test_following_prints_what_comes_until_it_is_ended(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    process = await tollgate.start("events", "--app", app, "--follow")
    assert process.stdout is not None
    for _ in range(3):
        written = await usage_records.request(app)
        assert json.loads(await process.stdout.readline())["id"] == written
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.slow
async def test_a_reader_that_goes_away_ends_it_quietly(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    reading, writing = os.pipe()
    process = await tollgate.start("events", "--app", app, "--follow", stdout=writing)
    os.close(writing)
    await usage_records.request(app)
    await asyncio.to_thread(os.read, reading, 1)
    os.close(reading)
    await usage_records.request(app)
    assert await process.wait() != 0
    assert process.stderr is not None
    assert await process.stderr.read() == b""
