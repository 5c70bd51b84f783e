"""`tollgate verify` finds what was changed behind the ledger's back, and nothing else."""

import json

import pytest

from config.workloads import Unit
from middlewares.ledger.credit import prepaid
from proxy.reporting.verify.difference import concerns
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage, utc

HUGE = 10**27
MINE, OTHER = "app_aaaaaaaaaaaaaaaa", "app_bbbbbbbbbbbbbbbb"


@pytest.mark.ci
async def test_totals_that_are_right(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    await prepaid.grant(usage_records.store, usage_records.keys, app, None, HUGE, reference="r")
    for number in range(5):
        await usage_records.request(app, user=f"u{number}", model="a|b%", units={Unit.PIXELS: 7}, amount=HUGE + number)
    done = await tollgate("verify")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("0 differences: ")
    assert "compared with 6 events and 0 open holds" in done.out
    found = (await tollgate("verify", "--app", app, "--json")).json
    assert (found["differences"], found["events"], found["holds"]) == ([], 6, 0)
    assert found["totals"] == 16  # requests, pixels and amount of five users; the wallet


@pytest.mark.ci
async def test_a_total_that_was_tampered_with(usage_records: RecordedUsage, tollgate: Command) -> None:
    app, other = await usage_records.app(), await usage_records.app()
    for each in (app, other):
        await usage_records.request(each, amount=HUGE, at=utc("2020-11-21T12:00"))
    usage = usage_records.keys.usage(app, "20201121")
    field = "||text-to-image|m/one|amount"
    await usage_records.store.redis.hset(usage, field, str(HUGE + 1))
    done = await tollgate("verify")
    assert done.code == 1
    assert done.out.splitlines()[1].split() == ["usage", usage, field, str(HUGE), str(HUGE + 1)]
    assert done.out.splitlines()[2].startswith("1 difference: ")
    assert (await tollgate("verify", "--app", other)).code == 0
    [found] = json.loads((await tollgate("verify", "--app", app, "--json")).out)["differences"]
    assert found == {"what": "usage", "where": f"{usage} {field}", "expected": str(HUGE), "found": str(HUGE + 1)}


async def test_an_entry_that_is_no_event_is_reported(usage_records: RecordedUsage, tollgate: Command) -> None:
    await usage_records.store.redis.xadd(usage_records.streams()[0], {"something": "else"})
    done = await tollgate("verify")
    assert (done.code, done.out) == (1, "")
    assert "of tollgate:{t0}:events has no amount" in done.err


async def test_an_app_that_does_not_exist(tollgate: Command) -> None:
    done = await tollgate("verify", "--app", MINE)
    assert (done.code, done.out, done.err) == (1, "", f"tollgate: there is no app {MINE}\n")


@pytest.mark.parametrize(
    ("where", "concerned"),
    [
        (f"tollgate:{{t3}}:usage:{MINE}:20201121 ||llm|m|amount", True),
        (f"tollgate:{{t3}}:usage:{OTHER}:20201121 |{MINE}|llm|m|amount", False),
        (f"tollgate:{{t3}}:wallet:{MINE} spent", True),
        (f"tollgate:{{t3}}:cap:user:{OTHER}:u1:pixels:day used:20201121", False),
        ("tollgate:{t3}:cap:key:abcdefgh:pixels:day used:20201121", True),
        ("tollgate:{t3}:events 01ABC", True),
        ("tollgate:{t4}:events 01ABC", False),
    ],
)
def test_what_concerns_an_app(where: str, concerned: bool) -> None:
    assert concerns(where, MINE, "tollgate:{t3}:") is concerned
