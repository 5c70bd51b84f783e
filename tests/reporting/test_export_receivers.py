"""Receivers by their contracts: partial failures, repeats and kills neither lose an event nor count it twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config.workloads import Workload
from proxy.reporting.export.formats import FORMATS, FormatName, ReceiverNames
from proxy.reporting.export.http import HttpSink
from proxy.reporting.export.lago import LagoSink
from proxy.reporting.export.openmeter import OpenMeterSink
from proxy.reporting.export.stripe import StripeSink
from tests.reporting.command import Command
from tests.reporting.exporter_run import ExporterRun, many
from tests.reporting.ledger_fixture import RecordedUsage
from tests.store.servers import eventually
from tests.support.billing import TOKEN, BillingReceiver, LagoReceiver, OpenMeterReceiver, StripeReceiver

NAMES = ReceiverNames("USD", meter="tolls")
SINKS: dict[str, type[HttpSink | StripeSink]] = {"openmeter": OpenMeterSink, "lago": LagoSink, "stripe": StripeSink}
NAMED = sorted(SINKS)
SECRETS = {"TOLLGATE_EXPORT__TOKEN": TOKEN}


@pytest.fixture
async def receivers() -> AsyncIterator[dict[str, BillingReceiver]]:
    made = {"openmeter": OpenMeterReceiver(), "lago": LagoReceiver({"tolls"}), "stripe": StripeReceiver()}
    for each in made.values():
        await each.start()
    yield made
    for each in made.values():
        await each.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry soon: as often as with the usual pauses, in less time."""
    monkeypatch.setattr("proxy.reporting.export.retry._FIRST_WAIT", 0.01)
    monkeypatch.setattr("proxy.reporting.export.retry._LONGEST_WAIT", 0.05)


def sink_of(name: str, receiver: BillingReceiver, names: ReceiverNames = NAMES) -> HttpSink | StripeSink:
    return SINKS[name](
        receiver.origin, FORMATS[FormatName(name)], names, lambda: {"Authorization": f"Bearer {TOKEN}"}, 10
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
async def test_all_arrive_once_and_a_second_group_counts_nothing(
    usage_records: RecordedUsage, tollgate: Command, receivers: dict[str, BillingReceiver], name: str
) -> None:
    written = await many(usage_records, 120)
    for group in ("first", "second"):
        options = ("--to", receivers[name].origin, "--format", name, "--meter", "tolls", "--group", group)
        done = await tollgate("export", *options, **SECRETS)
        assert done.err == "tollgate: 120 events exported, 0 set aside\n"
    assert receivers[name].accepted == dict.fromkeys(written, 1)


@pytest.mark.parametrize("name", NAMED)
async def test_one_event_alone(usage_records: RecordedUsage, receivers: dict[str, BillingReceiver], name: str) -> None:
    [written] = await usage_records.requests(await usage_records.app(), 1)
    assert await ExporterRun(usage_records, sink_of(name, receivers[name])).drain() == 1
    assert receivers[name].accepted == {written: 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
async def test_cut_after_it_was_accepted(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver], name: str
) -> None:
    """The receiver has it and the exporter does not know: the repeat counts once."""
    written = await many(usage_records, 40)
    receiver = receivers[name]
    receiver.after = lambda: receiver.requests in (1, 3)
    run = ExporterRun(usage_records, sink_of(name, receiver), batch=20)
    assert await run.drain() == 40
    assert receiver.accepted == dict.fromkeys(written, 1)
    assert run.exporter.set_aside == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
async def test_kill_nine_in_the_middle(
    usage_records: RecordedUsage, tollgate: Command, receivers: dict[str, BillingReceiver], name: str
) -> None:
    written = await many(usage_records, 60)
    receiver = receivers[name]
    options = ("--to", receiver.origin, "--format", name, "--meter", "tolls", "--batch", "10", "--takeover", "1")
    process = await tollgate.start("export", *options, environment=SECRETS)
    await receiver.arrived.wait()
    process.kill()
    await process.communicate()
    done = await tollgate("export", *options, **SECRETS)
    assert done.code == 0, done.err
    assert receiver.accepted == dict.fromkeys(written, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
async def test_too_many_requests_then_a_fault_then_all(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver], name: str
) -> None:
    written = await many(usage_records, 20)
    receiver = receivers[name]
    refusals = [web.Response(status=429, headers={"Retry-After": "1"}), web.Response(status=503)]
    receiver.before = lambda _: refusals.pop(0) if refusals else None
    loop = asyncio.get_running_loop()
    began = loop.time()
    run = ExporterRun(usage_records, sink_of(name, receiver))
    assert await run.drain() == 20
    assert loop.time() - began >= 1
    assert receiver.accepted == dict.fromkeys(written, 1)
    assert run.exporter.set_aside == 0


@pytest.mark.sampled(3)
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", NAMED)
async def test_one_event_that_breaks_the_receiver_is_set_aside(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver], name: str
) -> None:
    """A 500 for one event, whatever stands beside it: the others arrive, and it is kept with its reason."""
    written = await many(usage_records, 20)
    bad = written[7]
    receiver = receivers[name]
    receiver.before = lambda text: web.Response(status=500, text="oops") if bad in text else None
    run = ExporterRun(usage_records, sink_of(name, receiver), patience=120)
    assert await run.drain() == 19
    assert receiver.accepted == dict.fromkeys(set(written) - {bad}, 1)
    assert run.exporter.set_aside == 1
    assert "500: oops" in run.reports[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", NAMED)
async def test_a_receiver_that_fails_on_everything_sets_nothing_aside(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver], name: str
) -> None:
    written = await many(usage_records, 5)
    receiver = receivers[name]
    receiver.before = lambda _: web.Response(status=500) if receiver.requests < 60 else None
    run = ExporterRun(usage_records, sink_of(name, receiver), patience=120)
    draining = asyncio.create_task(run.drain())
    await receiver.arrived.wait()
    assert await draining == 5
    assert run.exporter.set_aside == 0
    assert receiver.accepted == dict.fromkeys(written, 1)
    assert [report.rpartition("; ")[2] for report in run.reports] == ["trying again", "works again"]


async def test_lago_names_the_invalid_and_the_known(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver]
) -> None:
    """One request finds both out, the next one delivers the rest."""
    app = await usage_records.app()
    good = await usage_records.requests(app, 30)
    bad = [await usage_records.request(app, workload=Workload.LLM) for _ in range(2)]
    receiver = receivers["lago"]
    assert isinstance(receiver, LagoReceiver)
    receiver.codes = {"text-to-image"}
    receiver.accepted.update(good[:3])
    run = ExporterRun(usage_records, sink_of("lago", receiver, ReceiverNames("USD")))
    assert await run.drain() == 30
    assert receiver.accepted == dict.fromkeys(good, 1)
    assert receiver.requests == 3
    assert run.exporter.set_aside == len(bad)
    assert "metric_not_found" in run.reports[0]


async def test_openmeter_finds_the_invalid_one_by_halves(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver]
) -> None:
    written = await usage_records.requests(await usage_records.app(), 64)
    receiver = receivers["openmeter"]
    receiver.before = lambda text: web.Response(status=400, text="no") if written[41] in text else None
    assert await ExporterRun(usage_records, sink_of("openmeter", receiver)).drain() == 63
    assert receiver.requests <= 13


async def test_stripe_gets_what_its_meter_adds_up(
    usage_records: RecordedUsage, tollgate: Command, receivers: dict[str, BillingReceiver], tmp_path: Path
) -> None:
    app = await usage_records.app()
    ids = await usage_records.requests(app, 3)
    (tmp_path / "customers.json").write_text(json.dumps({app: "cus_1"}))
    (tmp_path / "token").write_text(TOKEN + "\n")
    options = ("--format", "stripe", "--meter", "tolls", "--value", "pixels", "--customers", "customers.json")
    done = await tollgate(
        "export", "--to", receivers["stripe"].origin, *options, TOLLGATE_EXPORT__TOKEN_FILE=str(tmp_path / "token")
    )
    assert done.code == 0, done.err
    forms = [receivers["stripe"].values[each] for each in ids]
    assert [form["payload[value]"] for form in forms] == ["0", "1", "2"]
    assert {(form["payload[stripe_customer_id]"], form["event_name"]) for form in forms} == {("cus_1", "tolls")}


async def test_stripe_would_drop_these_in_silence(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver]
) -> None:
    app = await usage_records.app()
    good = [await usage_records.request(app, amount=999_999_999_999_999) for _ in range(2)]
    huge = await usage_records.request(app, amount=10**15)
    receiver = receivers["stripe"]
    assert isinstance(receiver, StripeReceiver)
    run = ExporterRun(usage_records, sink_of("stripe", receiver))
    assert await run.drain() == 2
    assert receiver.accepted == dict.fromkeys(good, 1)
    assert huge not in receiver.accepted
    assert receiver.dropped == []
    assert receiver.conflicts == 0, "one request at a time for each customer and meter"
    assert "more than 15 digits" in run.reports[0]


@pytest.mark.ci
async def test_stripe_takes_no_event_older_than_35_days(
    usage_records: RecordedUsage, receivers: dict[str, BillingReceiver]
) -> None:
    app = await usage_records.app()
    written = await usage_records.requests(app, 2)
    ahead: dict[str, Any] = {"ms": 0}
    receiver = receivers["stripe"]
    clock = asyncio.get_running_loop().time

    def made(shift_ms: int) -> StripeSink:
        return StripeSink(
            receiver.origin,
            FORMATS[FormatName.STRIPE],
            NAMES,
            lambda: {"Authorization": f"Bearer {TOKEN}"},
            10,
            now_ms=lambda: time.time() * 1_000 + shift_ms + ahead["ms"],
        )

    began = clock()
    early = ExporterRun(usage_records, made(-600_000))
    draining = asyncio.create_task(early.drain())
    await eventually(lambda: bool(early.reports))
    assert "ahead of this machine's clock" in early.reports[0]
    ahead["ms"] = 600_000
    assert await draining == 2
    assert clock() - began < 10
    assert receiver.accepted == dict.fromkeys(written, 1)
    ahead["ms"] = 0
    await usage_records.requests(app, 1)
    late = ExporterRun(usage_records, made(36 * 86_400_000))
    assert await late.drain() == 0
    assert late.exporter.set_aside == 1
    assert "36.0 days old" in late.reports[0]


@pytest.mark.ci
@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NAMED)
async def test_a_wrong_key_sets_nothing_aside_and_is_not_shown(
    usage_records: RecordedUsage, tollgate: Command, receivers: dict[str, BillingReceiver], name: str
) -> None:
    await many(usage_records, 5)
    options = ("--to", receivers[name].origin, "--format", name, "--meter", "tolls")
    done = await tollgate("export", *options, TOLLGATE_EXPORT__TOKEN="sesame-wrong")
    assert done.code == 1
    assert "401" in done.err
    assert "sesame" not in done.err
    assert (await tollgate("export", *options, **SECRETS)).err == "tollgate: 5 events exported, 0 set aside\n"
