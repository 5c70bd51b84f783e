"""Statements over HTTP: the documents of `tollgate statements`, to the unit and to the byte."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.api.statements.endpoints import prefers_csv
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, deployed

PRICE, FEE = 7 * 10**20 + 1, 10**27 - 3
PLANS = {
    "flat": {
        "tier": "standard",
        "billing": "subscription",
        "fee": str(FEE),
        "prices": [{"workload": "text-to-image", "unit": "generations", "amount": str(PRICE)}],
    }
}


@pytest.fixture
async def billed(tmp_path: Path) -> AsyncIterator[tuple[Deployment, BuilderApp]]:
    """Run Tollgate with an app whose users have used something."""
    async with (
        deployed(tmp_path, {"plans": PLANS}) as deployment,
        httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False, timeout=30) as http,
    ):
        app = await builder_app(deployment, http, "flat")
        await deployment.cli("credits", "grant", "--app", app.client_id, "5")
        for name, model in (("ann", "m"), ("bob", "=a|b%"), ("bob", "m")):
            token = bearer(await app.user_token(await app.user(name)))
            sent = await http.post("/text-to-image", json={"model_id": model, "prompt": "p"}, headers=token)
            assert sent.status_code == 200
        await deployment.settled(4, app.client_id)
        yield deployment, app


@pytest.mark.ci
async def test_a_statement_is_that_of_the_command(billed: tuple[Deployment, BuilderApp]) -> None:
    deployment, app = billed
    statements = f"{app.path}/statements"
    now = datetime.now(UTC)

    async def printed(period: str, form: str) -> str:
        options = ("--app", app.client_id, "--period", period, "--format", form)
        code, out, err = await deployment.cli("statements", *options)
        assert code == 0, err
        return out

    async def get(path: str, **headers: str) -> httpx.Response:
        response = await app.http.get(f"{statements}/{path}", headers=headers, auth=app.basic)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        return response

    for period in (f"{now:%Y-%m}", "2020-02-29"):
        document: dict[str, Any] = (await get(period)).json()
        assert document == json.loads(await printed(period, "json"))
        sheet = await printed(period, "csv")
        for response in (await get(f"{period}.csv"), await get(period, accept="text/csv, application/json;q=0.9")):
            assert response.text == sheet
            assert response.headers["content-type"] == "text/csv; charset=utf-8"
            assert f'filename="statement-{period}.csv"' in response.headers["content-disposition"]
        assert sum(int(row["amount"]) for row in csv.DictReader(io.StringIO(sheet))) == int(
            document["totals"]["amount"]
        )

    month = (await get(f"{now:%Y-%m}")).json()
    assert month["totals"] == {
        "fees": str(2 * FEE),
        "usage": str(3 * PRICE),
        "adjustments": "0",
        "amount": str(2 * FEE + 3 * PRICE),
    }
    listed = (await app.http.get(statements, headers=bearer(await app.token("read")))).json()["statements"]
    assert [(each["period"], each["request_count"], each["over"]) for each in listed] == [(f"{now:%Y-%m}", 3, False)]
    assert listed[0]["amount"] == str(3 * PRICE)
    assert (listed[0]["from"], listed[0]["to"]) == (month["from"], month["to"])
    usage = (await app.http.get(f"{app.path}/usage", params={"groupBy": "month"}, auth=app.basic)).json()
    assert usage["totals"]["totalFeeWei"] == listed[0]["amount"]


@pytest.mark.asyncio(loop_scope="package")
async def test_what_is_no_period_is_refused(app: BuilderApp) -> None:
    for wrong in ("2026", "2026-13", "2026-02-30", "0000-01", "2026-1", "latest", "2026-01.pdf", "2026-01.csv.csv"):
        response = await app.http.get(f"{app.path}/statements/{wrong}", auth=app.basic)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter"), wrong
    for far in ("0001-01", "9999-12", "9999-12-31"):
        response = await app.http.get(f"{app.path}/statements/{far}", auth=app.basic)
        assert (response.status_code, response.json()["event_count"]) == (200, 0), response.text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/csv", True),
        ("TEXT/CSV;charset=utf-8", True),
        ("application/json, text/csv", False),
        ("application/json;q=0.4, text/csv; q=0.5", True),
        ("text/csv;q=0", False),
        ("text/csv;q=high", True),
        (",;,q=", False),
    ],
)
def test_csv_is_returned_to_those_who_prefer_it(accept: str, *, expected: bool) -> None:
    assert prefers_csv(accept) is expected
