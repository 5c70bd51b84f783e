"""`tollgate statements`."""

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest

from config.loader import load
from config.plans import Plan
from config.workloads import Unit, Workload
from proxy.reporting.dates import redis_today
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage, utc

HUGE = 10**27 + 7
CONFIG = """
currency: {code: USD, decimals: 6}
plans:
  flat: {billing: subscription, fee: 1000000000000000000000000000, prices: [{unit: pixels, amount: 1, per: 3}]}
"""


async def month(usage_records: RecordedUsage, plan: Plan) -> tuple[str, list[str]]:
    """An app with a month of usage, and the ids of its events in that month."""
    app = await usage_records.app("Acme", "flat")
    await usage_records.request(app, plan=plan, plan_name="flat", amount=1, at=utc("2020-10-31T23:59:59.999"))
    await usage_records.request(app, plan=plan, plan_name="flat", amount=1, at=utc("2020-12-01T00:00"))
    return app, [
        await usage_records.request(
            app,
            user=user,
            plan=plan,
            plan_name="flat",
            workload=Workload.LLM if amount == 1 else Workload.TEXT_TO_IMAGE,
            model="=a|b%",
            units={Unit.PIXELS: 5},
            amount=amount,
            at=utc(moment),
        )
        for user, amount, moment in (
            ("u1", HUGE, "2020-11-30T23:59:59.999"),
            ("u2", 1, "2020-11-01T00:00"),
            ("u1", 3, "2020-11-15T00:00"),
        )
    ]


@pytest.mark.ci
async def test_in_all_formats(usage_records: RecordedUsage, tollgate: Command, tmp_path: Path) -> None:
    (tmp_path / "tollgate.yaml").write_text(CONFIG)
    plan = load(tmp_path / "tollgate.yaml").plans["flat"]
    version = f"flat@{plan.version}"
    app, ids = await month(usage_records, plan)
    await month(usage_records, plan)
    options = ("--config", "tollgate.yaml", "statements", "--app", app, "--period", "2020-11")

    found = (await tollgate(*options, "--json")).json
    assert (found["app"], found["name"], found["from"], found["to"]) == (app, "Acme", "2020-11-01", "2020-11-30")
    assert found["currency"] == {"code": "USD", "decimals": 6}
    fee = 2 * 10**27
    assert found["totals"] == {
        "fees": str(fee),
        "usage": str(HUGE + 4),
        "adjustments": "0",
        "amount": str(fee + HUGE + 4),
    }
    assert [(line["kind"], line["workload"], line["amount"]) for line in found["lines"]] == [
        ("fee", None, str(fee)),
        ("usage", "llm", "1"),
        ("usage", "text-to-image", str(HUGE + 3)),
    ]
    assert found["lines"][2] == {
        "kind": "usage",
        "plan": version,
        "workload": "text-to-image",
        "model": "=a|b%",
        "request_count": 2,
        "units": {"pixels": 10},
        "amount": str(HUGE + 3),
    }
    assert found["lines"][0]["users"] == 2
    assert (found["plans"], found["event_count"], found["attention_count"]) == ([version], 3, 0)
    assert found["events_sha256"] == hashlib.sha256("".join(f"{each}\n" for each in sorted(ids)).encode()).hexdigest()
    assert found["notes"] == []

    events = (await tollgate("events", "--app", app, "--from", "2020-11-01", "--to", "2020-11-30")).out
    assert int(found["totals"]["usage"]) == sum(int(json.loads(line)["amount"]) for line in events.splitlines())

    rows = list(csv.DictReader(io.StringIO((await tollgate(*options, "--format", "csv")).out)))
    assert [row["model"] for row in rows] == ["", "'=a|b%", "'=a|b%"]
    assert sum(int(row["amount"]) for row in rows) == fee + HUGE + 4

    text = (await tollgate(*options)).out
    assert found["events_sha256"] in text
    assert "3000000000000000000000.000011 USD" in text


async def test_a_period_that_is_not_over_says_so(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    written = await usage_records.request(app, amount=5)
    today = (await redis_today(usage_records.store.redis)).isoformat()
    found = (await tollgate("statements", "--app", app, "--period", today[:7], "--json")).json
    assert found["notes"] == ["the period is not over yet"]
    assert found["events_sha256"] == hashlib.sha256(f"{written}\n".encode()).hexdigest()


async def test_an_entry_that_cannot_be_read_means_no_statement(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    stream = usage_records.keys.shared(usage_records.keys.tag(app)).events
    await usage_records.store.redis.xadd(stream, {"event": f'{{"app":"{app}"}}', "amount": "1"})
    done = await tollgate("statements", "--app", app, "--period", "2020-11")
    assert (done.code, done.out) == (1, "")
    assert "no statement" in done.err
    assert stream in done.err


async def test_an_app_that_does_not_exist(tollgate: Command) -> None:
    done = await tollgate("statements", "--app", "app_aaaaaaaaaaaaaaaa", "--period", "2020-11", "--json")
    assert (done.code, done.out, done.err) == (1, "", "tollgate: there is no app app_aaaaaaaaaaaaaaaa\n")
