"""A month of random events is the same to the unit on page, in CSV, API, statement and for `verify`."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from config.workloads import Unit, Workload
from middlewares.auth.records import AppRecord, RecordRef
from proxy.control.records import Records
from proxy.portal import words
from proxy.reporting.dates import Days, month_of
from tests.portal.browser import as_shown, text_of
from tests.portal.conftest import Tenant, tenant
from tests.reporting.ledger_fixture import RecordedUsage
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

EVENTS = 240
DIMENSIONS = ("day", "workload", "model", "user", "key")
NOBODY = {"user": "The app itself", "model": "No model"}
WORKLOADS = (Workload.TEXT_TO_IMAGE, Workload.LLM, Workload.AUDIO_TO_TEXT)


@dataclass(frozen=True)
class Sent:
    """One request, as the test knows it."""

    day: str
    workload: str
    model: str
    user: str
    key: str
    amount: int


def last_month() -> Days:
    """Return the last month that is over."""
    return month_of(datetime.now(UTC).date().replace(day=1) - timedelta(days=1))


async def recorded(deployment: Deployment, mine: Tenant, month: Days, folder: Path, seed: int) -> list[Sent]:
    """Record random requests of the month and, to be left out, of the days beside it."""
    choice, found = random.Random(seed), []
    people = [(None, mine.key.split("_")[1]), (mine.user, mine.user_key.split("_")[1])]
    async with deployment.store() as store:
        usage = RecordedUsage(store, folder)
        begin = datetime.fromtimestamp(month.start_ms / 1_000, UTC)
        await Records(store.redis, AppRecord).change(
            RecordRef("app", mine.app), lambda app: replace(app, created_at=begin - timedelta(days=40))
        )
        length = month.end_ms - month.start_ms
        offsets = [
            0,
            length - 1,
            -1,
            length,
            *(choice.randrange(-86_400_000, length + 86_400_000) for _ in range(EVENTS)),
        ]
        for offset in offsets:
            (user, key), workload = choice.choice(people), choice.choice(WORKLOADS)
            at, amount = (
                begin + timedelta(milliseconds=offset),
                choice.choice((0, 1, 10**9 + 7, choice.randrange(10**26))),
            )
            model = choice.choice(("", "a/b", "=1+1", "x|y%", "m" * 250))
            await usage.request(
                mine.app,
                user=user,
                key=key,
                workload=workload,
                model=model,
                units={Unit.MILLISECONDS: choice.randrange(10**9)},
                amount=amount,
                at=at,
                outcome=choice.choice(("complete", "client_disconnect")),
                drain=False,
            )
            if 0 <= offset < length:
                found.append(Sent(f"{at:%Y-%m-%d}", workload, model, user or "", key, amount))
        await usage.ledger.drain()
    return found


def sums(sent: Iterable[Sent], by: str) -> dict[str, tuple[int, int]]:
    """Return amount and number of requests of each group."""
    amounts: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    for each in sent:
        amounts[getattr(each, by)] += each.amount
        requests[getattr(each, by)] += 1
    return {group: (amounts[group], requests[group]) for group in requests}


def as_sums(rows: Iterable[Mapping[str, str]], by: str) -> dict[str, tuple[int, int]]:
    """Return the sums of a file, whose cells cannot be formulas."""
    return {row[by].removeprefix("'"): (int(row["amount"]), int(row["request_count"])) for row in rows}


async def test_a_month_of_random_events_is_the_same_everywhere(running: Deployment, tmp_path: Path) -> None:
    mine, month, seed = await tenant(running, "A month", "unlimited"), last_month(), random.randrange(2**32)
    sent = await recorded(running, mine, month, tmp_path, seed)
    total, browser = sum(each.amount for each in sent), await mine.member("billing")
    days = {"from": f"{month.first}", "to": f"{month.last}"}
    period = f"{month.first:%Y-%m}"
    async with httpx.AsyncClient(base_url=running.public, trust_env=False, verify=False, timeout=30) as http:
        auth, app = httpx.BasicAuth(mine.app, mine.secret), f"/api/v1/apps/{mine.app}"
        for by in DIMENSIONS:
            expected = sums(sent, by)
            file = await browser.page(f"{mine.path}/usage.csv", by=by, **days)
            assert as_sums(csv.DictReader(io.StringIO(file.text)), by) == expected, (by, seed)
            page = text_of(await browser.page(f"{mine.path}/usage", by=by, **days))
            assert f"Total {as_shown(total)} {len(sent):,} " in page, (by, seed)
            for group, (amount, requests) in expected.items():
                shown = words.workload(group) if by == "workload" else group or NOBODY[by]
                row = f"{as_shown(amount)} {requests:,} "
                assert row in page.partition(shown)[2], (by, group, seed)
            params = {"groupBy": by, "startDate": days["from"], "endDate": days["to"]}
            report = (await http.get(f"{app}/usage", params=params, auth=auth)).json()
            assert report["totals"] == {"requestCount": len(sent), "totalFeeWei": str(total)}, (by, seed)
            if by != "user":
                groups = {each["value"] or "": (int(each["feeWei"]), each["requestCount"]) for each in report["groups"]}
                assert groups == expected, (by, seed)
        over_api = (await http.get(f"{app}/statements/{period}", auth=auth)).json()
    on_file = json.loads((await browser.page(f"{mine.path}/statements/{period}.json")).text)
    assert on_file == over_api, seed
    assert on_file["totals"]["amount"] == str(total), seed
    assert on_file["event_count"] == len(sent), seed
    rows = csv.DictReader(io.StringIO((await browser.page(f"{mine.path}/statements/{period}.csv")).text))
    assert sum(int(row["amount"]) for row in rows) == total, seed
    statement = text_of(await browser.page(f"{mine.path}/statements/{period}"))
    assert f"Total {as_shown(total)} Evidence" in statement, seed
    assert f"{period} {len(sent):,} {as_shown(total)}" in text_of(await browser.page(f"{mine.path}/statements"))
    code, out, error = await running.cli("verify", "--app", mine.app, "--json")
    assert (code, json.loads(out)["differences"]) == (0, []), error
