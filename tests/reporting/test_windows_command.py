"""`tollgate windows`: the usage of whole days for NaaP, repeated at will."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from config.workloads import Unit, Workload
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage
from tests.support.billing import TOKEN, NaapReceiver

pytestmark = pytest.mark.ci


SECRETS = {"TOLLGATE_EXPORT__TOKEN": TOKEN}
USD = {"TOLLGATE_CURRENCY__CODE": "USD", "TOLLGATE_CURRENCY__DECIMALS": "6"}


@pytest.fixture
async def naap() -> AsyncIterator[NaapReceiver]:
    receiver = NaapReceiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


def day_before(days: int) -> datetime:
    return datetime.now(UTC).replace(hour=12) - timedelta(days=days)


async def recorded(usage_records: RecordedUsage) -> str:
    """Record two days of one app, and today, and return its client id."""
    app = await usage_records.app()
    for days in (2, 1, 1, 0):
        units = {Unit.PIXELS: 5}
        await usage_records.request(app, units=units, amount=7, at=day_before(days))
    await usage_records.request(app, workload=Workload.LLM, model="x", amount=10**21, at=day_before(1))
    return app


async def test_whole_days_and_a_repeat_changes_nothing(
    usage_records: RecordedUsage, tollgate: Command, naap: NaapReceiver
) -> None:
    app = await recorded(usage_records)
    await usage_records.app()  # without usage
    options = ("windows", "--to", naap.origin, "--provider", "tolls", "--fees")
    done = await tollgate(*options, **SECRETS)
    assert (done.code, done.out, done.err) == (0, "", "tollgate: 2 windows reported, 0 refused\n")
    first = dict(naap.values)
    [earlier, later] = [first[key] for key in sorted(first)]
    day = day_before(1).date()
    assert later == {
        "providerSlug": "tolls",
        "accountId": app,
        "appId": app,
        "window": {"from": f"{day}T00:00:00Z", "to": f"{day + timedelta(days=1)}T00:00:00Z"},
        "sessions": 3,
        "feeWei": str(14 + 10**21),
        "byCapability": {"text-to-image:m/one": {}, "llm:x": {}},
    }
    assert (earlier["sessions"], earlier["feeWei"]) == (1, "7")
    assert (await tollgate(*options, **SECRETS)).code == 0
    assert naap.values == first
    assert set(naap.accepted.values()) == {2}


@pytest.mark.slow
async def test_dollars_have_a_fee_for_each_capability(
    usage_records: RecordedUsage, tollgate: Command, naap: NaapReceiver
) -> None:
    app = await recorded(usage_records)
    day = str(day_before(2).date())
    options = ("windows", "--to", naap.origin, "--provider", "tolls", "--app", app, "--from", day, "--to-day", day)
    done = await tollgate(*options, "--fees", **SECRETS, **USD)
    assert done.code == 0, done.err
    [window] = naap.values.values()
    assert window["networkFeeUsdMicros"] == 7
    assert window["byCapability"] == {"text-to-image:m/one": {"networkFeeUsdMicros": 7}}
    assert (await tollgate(*options, **SECRETS, **USD)).code == 0
    assert "networkFeeUsdMicros" not in next(iter(naap.values.values()))


async def test_busy_then_refused(usage_records: RecordedUsage, tollgate: Command, naap: NaapReceiver) -> None:
    await recorded(usage_records)
    responses = [web.Response(status=503), web.Response(status=400, text="unknown provider")]
    naap.before = lambda _: responses.pop(0) if responses else None
    done = await tollgate("windows", "--to", naap.origin, "--provider", "tolls", **SECRETS)
    assert done.code == 1
    assert "400: unknown provider" in done.err
    assert done.err.endswith("tollgate: 1 windows reported, 1 refused\n")
    assert TOKEN not in done.err


async def test_a_day_that_is_not_over_is_refused(
    usage_records: RecordedUsage, tollgate: Command, naap: NaapReceiver
) -> None:
    today = str(datetime.now(UTC).date())
    done = await tollgate("windows", "--to", naap.origin, "--provider", "tolls", "--to-day", today, **SECRETS)
    assert (done.code, naap.requests) == (2, 0)
    assert "end before today" in done.err
    first = ("--to-day", "0001-01-01", "--app", await usage_records.app())
    done = await tollgate("windows", "--to", naap.origin, "--provider", "tolls", *first, **SECRETS)
    assert "Traceback" not in done.err
    done = await tollgate(
        "windows",
        "--to",
        naap.origin,
        "--provider",
        "p",
        "--fees",
        **SECRETS,
        **USD | {"TOLLGATE_CURRENCY__CODE": "EUR"},
    )
    assert done.code == 2
