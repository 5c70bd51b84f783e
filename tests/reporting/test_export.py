"""The exporter with a receiver over HTTP: at least once, in batches, never blocked."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from middlewares.store import StoreError
from proxy.reporting.export.formats import FORMATS, FormatName
from proxy.reporting.export.group import ConsumerGroup, rejected
from proxy.reporting.export.http import HttpSink, retry_after
from proxy.reporting.export.retry import GaveUp
from proxy.reporting.export.sinks import Refused
from tests.reporting.exporter_run import NAMES, ExporterRun, many
from tests.reporting.ledger_fixture import RecordedUsage
from tests.reporting.receiver import Batch, Receiver
from tests.store.servers import RedisServer, eventually


def http(receiver: Receiver, form: str = "cloudevents", *, timeout: float = 10) -> HttpSink:
    return HttpSink(receiver.url, FORMATS[FormatName(form)], NAMES, dict, timeout)


async def pending(usage_records: RecordedUsage) -> int:
    return await ConsumerGroup(usage_records.sources, "export", 60).pending()


async def consumers(usage_records: RecordedUsage) -> list[object]:
    found: list[object] = []
    for stream in usage_records.streams():
        found += await usage_records.store.redis.xinfo_consumers(stream, "export")
    return found


async def set_aside(usage_records: RecordedUsage) -> list[dict[bytes, bytes]]:
    found: list[dict[bytes, bytes]] = []
    for stream in usage_records.streams():
        entries: Any = await usage_records.store.redis.xrange(rejected(stream, "export"))
        found += [fields for _, fields in entries]
    return found


@pytest.mark.ci
async def test_batches_over_all_streams(usage_records: RecordedUsage, receiver: Receiver) -> None:
    written = await many(usage_records, 250)
    assert await ExporterRun(usage_records, http(receiver)).drain() == 250
    assert sorted(receiver.ids) == sorted(written)
    assert sorted(len(batch) for batch in receiver.requests) == [50, 100, 100]
    assert receiver.headers[0]["Content-Type"] == "application/cloudevents-batch+json"
    assert await pending(usage_records) == 0
    assert await consumers(usage_records) == []


@pytest.mark.ci
async def test_the_next_run_goes_on_where_the_last_stopped(usage_records: RecordedUsage, receiver: Receiver) -> None:
    first = await many(usage_records, 10)
    await ExporterRun(usage_records, http(receiver)).drain()
    second = await many(usage_records, 10)
    assert await ExporterRun(usage_records, http(receiver)).drain() == 10
    assert receiver.ids[:10] == [each for each in receiver.ids if each in first]
    assert sorted(receiver.ids) == sorted(first + second)
    assert await ExporterRun(usage_records, http(receiver)).drain() == 0


@pytest.mark.ci
async def test_receiver_down_then_up(usage_records: RecordedUsage, receiver: Receiver) -> None:
    written = await many(usage_records, 30)
    await receiver.stop()
    run = ExporterRun(usage_records, http(receiver))
    draining = asyncio.create_task(run.drain())
    await eventually(lambda: bool(run.reports))
    await receiver.start()
    assert await draining == 30
    assert sorted(receiver.ids) == sorted(written)
    assert [report.rpartition("; ")[2] for report in run.reports] == ["trying again", "works again"]


@pytest.mark.ci
@pytest.mark.sampled(3)
@pytest.mark.parametrize("status", [500, 503, 429, 408, 425])
async def test_a_busy_receiver_is_retried(usage_records: RecordedUsage, receiver: Receiver, status: int) -> None:
    async def judge(_: Batch) -> web.Response:
        return web.Response(status=status if len(receiver.requests) < 2 else 200)

    receiver.judge = judge
    written = await many(usage_records, 5)
    assert await ExporterRun(usage_records, http(receiver)).drain() == 5
    assert len(receiver.requests) == 2
    assert sorted(receiver.ids) == sorted(written)


@pytest.mark.ci
async def test_a_receiver_that_never_responds_is_a_receiver_that_is_down(
    usage_records: RecordedUsage, receiver: Receiver
) -> None:
    async def judge(_: Batch) -> web.Response:
        if len(receiver.requests) < 2:
            await asyncio.Event().wait()
        return web.Response()

    receiver.judge = judge
    written = await many(usage_records, 5)
    assert await ExporterRun(usage_records, http(receiver, timeout=0.3)).drain() == 5
    assert sorted(receiver.ids) == sorted(written)


@pytest.mark.ci
async def test_a_receiver_that_dribbles_is_not_waited_for(usage_records: RecordedUsage) -> None:
    """It says something now and then, for ever: no pause is long, but the request takes too long."""
    connections = 0

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(OSError), closing(writer):
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\n")
            while not reader.at_eof():
                writer.write(b"X-More: to come\r\n")
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(65_536), 0.05)

    async with await asyncio.start_server(dribble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await many(usage_records, 5)
        sink = HttpSink(f"http://127.0.0.1:{port}/", FORMATS[FormatName.CLOUDEVENTS], NAMES, dict, 0.3)
        with pytest.raises(GaveUp, match=r"sent no response within 0\.3 seconds"):
            await ExporterRun(usage_records, sink, patience=1).drain()
    assert connections > 0


async def test_retry_after_beyond_patience_gives_up_and_leaves_all_for_the_next_run(
    usage_records: RecordedUsage, receiver: Receiver
) -> None:
    async def judge(_: Batch) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "3000"})

    receiver.judge = judge
    written = await many(usage_records, 5)
    with pytest.raises(GaveUp, match="429"):
        await ExporterRun(usage_records, http(receiver)).drain()
    assert len(receiver.requests) == 1
    fine = await Receiver().start()
    assert await ExporterRun(usage_records, http(fine)).drain() == 5  # at once: they were released, not abandoned
    await fine.stop()
    assert sorted(fine.ids) == sorted(written)


def test_retry_after() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    assert retry_after(None) is None
    assert retry_after("7") == 7
    assert retry_after("999999") == 3600
    assert 0 < (retry_after(format_datetime(soon, usegmt=True)) or 0) <= 100
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for nonsense in ("", "-1", "1.5", "soon", "²"):
        assert retry_after(nonsense) in (None, 0)


async def test_one_poison_event_does_not_block_the_group(usage_records: RecordedUsage, receiver: Receiver) -> None:
    written = await many(usage_records, 40)
    bad = written[17]

    async def judge(batch: Batch) -> web.Response:
        return web.Response(status=422 if any(each["id"] == bad for each in batch) else 200, text="bad \x1b[31m app_id")

    receiver.judge = judge
    run = ExporterRun(usage_records, http(receiver))
    assert await run.drain() == 39
    assert sorted(receiver.ids) == sorted(set(written) - {bad})
    assert run.exporter.set_aside == 1
    assert "422: bad [31m app_id" in run.reports[0]
    [kept] = await set_aside(usage_records)
    assert json.loads(kept[b"event"])["id"] == bad
    assert kept[b"amount"] == b"1"
    assert b"422" in kept[b"reason"]
    assert await pending(usage_records) == 0


async def test_an_entry_that_is_no_event_does_not_block_the_group(
    usage_records: RecordedUsage, receiver: Receiver
) -> None:
    await usage_records.store.redis.xadd(usage_records.streams()[3], {"event": "{", "amount": "1"})
    await usage_records.store.redis.xadd(usage_records.streams()[3], {"something": "else"})
    written = await many(usage_records, 5)
    run = ExporterRun(usage_records, http(receiver))
    assert await run.drain() == 5
    assert sorted(receiver.ids) == sorted(written)
    assert run.exporter.set_aside == 2
    assert await pending(usage_records) == 0


@pytest.mark.sampled(3)
@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 405])
async def test_wrong_credentials_or_address_set_nothing_aside(
    usage_records: RecordedUsage, receiver: Receiver, status: int
) -> None:
    async def judge(_: Batch) -> web.Response:
        return web.Response(status=status, headers={"Location": receiver.url})

    receiver.judge = judge
    await many(usage_records, 5)
    run = ExporterRun(usage_records, http(receiver))
    with pytest.raises(Refused, match=str(status)):
        await run.drain()
    assert len(receiver.requests) == 1
    assert run.exporter.set_aside == 0
    assert await pending(usage_records) == 5


async def test_lago_that_has_a_part_of_the_batch_already(usage_records: RecordedUsage, receiver: Receiver) -> None:
    """Lago refuses a whole batch for one known id: those that are there count as delivered."""
    written = await many(usage_records, 10)
    there = set(written[:4])

    async def judge(batch: Batch) -> web.Response:
        known = [index for index, each in enumerate(batch) if each["transaction_id"] in there]
        details = {str(index): {"transaction_id": ["value_already_exist"]} for index in known}
        return web.json_response({"error_details": details}, status=422 if known else 200)

    receiver.judge = judge
    run = ExporterRun(usage_records, http(receiver, "lago"))
    assert await run.drain() == 10
    assert run.exporter.set_aside == 0
    assert sorted(receiver.ids) == sorted(set(written) - there)


async def test_two_exporters_share_a_group(usage_records: RecordedUsage, receiver: Receiver) -> None:
    written = await many(usage_records, 200)
    runs = [ExporterRun(usage_records, http(receiver), batch=10) for _ in range(2)]
    delivered = await asyncio.gather(*(run.drain() for run in runs))
    assert sum(delivered) == 200
    assert min(delivered) > 0
    assert sorted(receiver.ids) == sorted(written)


@pytest.mark.ci
async def test_a_slow_delivery_is_not_taken_for_a_death(usage_records: RecordedUsage, receiver: Receiver) -> None:
    """The second exporter would take over after 0.6 s; the first renews while its receiver thinks."""
    released = asyncio.Event()

    async def judge(_: Batch) -> web.Response:
        await released.wait()
        return web.Response()

    receiver.judge = judge
    written = await many(usage_records, 5)
    first = asyncio.create_task(ExporterRun(usage_records, http(receiver), takeover=0.6).drain())
    await receiver.arrived.wait()
    second = ExporterRun(usage_records, http(receiver), takeover=0.6, patience=2)
    with pytest.raises(GaveUp, match="another exporter"):
        await second.drain()
    released.set()
    assert await first == 5
    assert sorted(receiver.ids) == sorted(written)
    assert len(receiver.requests) == 1


@pytest.mark.ci
async def test_redis_restarts_without_its_data_under_a_follower(
    usage_records: RecordedUsage, receiver: Receiver, redis_server: RedisServer
) -> None:
    """The group is gone with the data, and made again."""

    async def healthy() -> bool:
        try:
            await usage_records.store.health()
        except StoreError:
            return False
        return True

    run = ExporterRun(usage_records, http(receiver), patience=None)
    async with run.following():
        written = await many(usage_records, 5)
        await eventually(lambda: len(receiver.accepted) == 5)
        redis_server.kill()
        await eventually(lambda: bool(run.reports))
        redis_server.start()
        await eventually(healthy)
        written += await many(usage_records, 5)
        await eventually(lambda: set(receiver.ids) == set(written))
    assert len(receiver.ids) == 10


async def test_stopped_while_the_receiver_is_down(usage_records: RecordedUsage, receiver: Receiver) -> None:
    await receiver.stop()
    await many(usage_records, 5)
    run = ExporterRun(usage_records, http(receiver), patience=None)
    with pytest.raises(GaveUp):
        async with run.following():
            await eventually(lambda: bool(run.reports))
    await run.sink.close()
    assert await pending(usage_records) == 5


async def test_addresses_in_messages_have_no_secrets(usage_records: RecordedUsage) -> None:
    await many(usage_records, 5)
    sink = HttpSink("http://user:sesame@127.0.0.1:1/sesame?key=sesame", FORMATS[FormatName.CLOUDEVENTS], NAMES, dict, 1)
    run = ExporterRun(usage_records, sink, patience=0)
    with pytest.raises(GaveUp) as caught:
        await run.drain()
    assert "http://127.0.0.1:1: " in str(caught.value)
    assert "sesame" not in str(caught.value) + "".join(run.reports)
