"""`tollgate export` as operators run it, killed and all."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from aiohttp import web

from tests.reporting.command import Command
from tests.reporting.exporter_run import many
from tests.reporting.ledger_fixture import RecordedUsage
from tests.reporting.receiver import Batch, Receiver
from tests.store.servers import eventually


@pytest.mark.ci
async def test_to_stdout(usage_records: RecordedUsage, tollgate: Command) -> None:
    written = await many(usage_records, 20)
    done = await tollgate("export", "--to", "stdout")
    assert done.code == 0
    assert sorted(json.loads(line)["id"] for line in done.out.splitlines()) == sorted(written)
    assert done.err == "tollgate: 20 events exported, 0 set aside\n"
    again = await tollgate("export", "--to", "stdout", "--group", "other", "--format", "lago")
    assert sorted(json.loads(line)["transaction_id"] for line in again.out.splitlines()) == sorted(written)
    assert (await tollgate("export", "--to", "stdout")).out == ""


async def test_to_a_file(usage_records: RecordedUsage, tollgate: Command, tmp_path: Path) -> None:
    written = await many(usage_records, 20)
    done = await tollgate("export", "--to", "file:events.jsonl")
    assert (done.code, done.out) == (0, "")
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(written)


@pytest.mark.slow
async def test_kill_nine_between_send_and_acknowledgement(
    usage_records: RecordedUsage, tollgate: Command, receiver: Receiver
) -> None:
    """The receiver has the batch, the exporter dies before it knows: nothing is lost, ids come again."""
    written = await many(usage_records, 30)
    sent = asyncio.Event()

    async def judge(batch: Batch) -> web.Response:
        if len(receiver.requests) == 2:  # taken, but the exporter will not live to hear of it
            receiver.accepted += batch
            sent.set()
            await asyncio.Event().wait()
        return web.Response()

    receiver.judge = judge
    options = ("--to", receiver.url, "--batch", "10", "--takeover", "1")
    process = await tollgate.start("export", *options)
    await sent.wait()
    process.kill()
    await process.communicate()
    done = await tollgate("export", *options)
    assert done.err == "tollgate: 20 events exported, 0 set aside\n"
    assert set(receiver.ids) == set(written)
    repeated = [each for each in receiver.ids if receiver.ids.count(each) > 1]
    assert len(set(repeated)) == 10
    assert (await tollgate("export", *options)).err == "tollgate: 0 events exported, 0 set aside\n"


@pytest.mark.slow
async def test_terminated_it_finishes_its_batch_and_leaves_the_rest(
    usage_records: RecordedUsage, tollgate: Command, receiver: Receiver
) -> None:
    written = await many(usage_records, 30)
    terminated = asyncio.Event()

    async def judge(_: Batch) -> web.Response:
        await terminated.wait()
        return web.Response()

    receiver.judge = judge
    options = ("--to", receiver.url, "--batch", "10")
    process = await tollgate.start("export", *options, "--follow")
    await receiver.arrived.wait()
    process.send_signal(signal.SIGTERM)
    terminated.set()
    _, err = await process.communicate()
    assert process.returncode == 0
    first = len(receiver.accepted)
    assert err.decode() == f"tollgate: {first} events exported, 0 set aside\n"
    assert (await tollgate("export", *options)).code == 0  # at once: nothing has to be taken over
    assert sorted(receiver.ids) == sorted(written)


async def test_credentials_come_from_a_file_and_are_never_shown(
    usage_records: RecordedUsage, tollgate: Command, receiver: Receiver, tmp_path: Path
) -> None:
    async def judge(_: Batch) -> web.Response:
        return web.Response(status=401)

    receiver.judge = judge
    await many(usage_records, 5)
    (tmp_path / "headers").write_text("Authorization: Bearer sesame\n\nX-Lago: 1\n")
    done = await tollgate("export", "--to", receiver.url, "--header-file", "headers", "--header", "Via: toll")
    assert done.code == 1
    assert "401" in done.err
    assert "sesame" not in done.err + done.out
    [headers] = receiver.headers
    assert (headers["Authorization"], headers["X-Lago"], headers["Via"]) == ("Bearer sesame", "1", "toll")


async def test_customers_have_their_names_at_the_receiver(
    usage_records: RecordedUsage, tollgate: Command, receiver: Receiver, tmp_path: Path
) -> None:
    known, other = await usage_records.app(), await usage_records.app()
    await usage_records.requests(known, 1)
    await usage_records.requests(other, 1)
    (tmp_path / "customers.json").write_text(json.dumps({known: "cus_1"}))
    options = ("--format", "lago", "--meter", "tolls", "--customers", "customers.json")
    assert (await tollgate("export", "--to", receiver.url, *options)).code == 0
    assert {each["external_subscription_id"] for each in receiver.accepted} == {"cus_1", other}
    assert {each["code"] for each in receiver.accepted} == {"tolls"}


@pytest.mark.slow
async def test_follow_delivers_what_comes(usage_records: RecordedUsage, tollgate: Command, receiver: Receiver) -> None:
    process = await tollgate.start("export", "--to", receiver.url, "--follow")
    written = await many(usage_records, 5)
    await eventually(lambda: len(receiver.ids) >= 5)
    written += await many(usage_records, 5)
    await eventually(lambda: len(receiver.ids) >= 10)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "tollgate: 10 events exported, 0 set aside\n")
    assert sorted(receiver.ids) == sorted(written)


@pytest.mark.ci
async def test_a_receiver_that_stays_away_is_exit_1_and_loses_nothing(
    usage_records: RecordedUsage, tollgate: Command
) -> None:
    written = await many(usage_records, 5)
    done = await tollgate("export", "--to", "http://127.0.0.1:1/", "--patience", "0")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == "tollgate: 0 events exported, 0 set aside"
    assert "http://127.0.0.1:1: " in done.err.splitlines()[1]
    assert len((await tollgate("export", "--to", "stdout")).out.splitlines()) == len(written)


async def test_a_file_that_cannot_be_written_is_exit_1(tollgate: Command) -> None:
    done = await tollgate("export", "--to", "file:/nowhere/events.jsonl")
    assert (done.code, done.out) == (1, "")
    assert done.err == "tollgate: /nowhere/events.jsonl: No such file or directory\n"
