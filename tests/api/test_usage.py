"""Usage and balances over HTTP: numbers that equal the ledger, for the caller they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, deployed

PRICE = 7 * 10**20 + 1
"""Beyond what a 64-bit integer, or a float, can hold."""
PLANS = {
    "priced": {
        "tier": "standard",
        "billing": "usage",
        "prices": [{"workload": "text-to-image", "unit": "generations", "amount": str(PRICE)}],
    }
}
IMAGE = {"model_id": "m", "prompt": "p"}


@pytest.fixture
async def priced(tmp_path: Path) -> AsyncIterator[tuple[Deployment, BuilderApp]]:
    """Run Tollgate with a plan that has a price, and an app on it."""
    async with (
        deployed(tmp_path, {"plans": PLANS}) as deployment,
        httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False, timeout=30) as http,
    ):
        yield deployment, await builder_app(deployment, http, "priced")


async def test_usage_is_the_ledgers_to_the_unit(priced: tuple[Deployment, BuilderApp]) -> None:
    deployment, app = priced
    http = app.http
    ann, bob = await app.user("ann"), await app.user("bob")
    key = (await http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()["key"]
    own = await deployment.key(app.client_id)
    for credential, times in ((key, 3), (await app.user_token(bob), 1), (own, 2)):
        for _ in range(times):
            assert (await http.post("/text-to-image", json=IMAGE, headers=bearer(credential))).status_code == 200
    events = await deployment.settled(6, app.client_id)
    assert {event["amount"] for event in events} == {str(PRICE)}

    async def usage(path: str = f"{app.path}/usage", **params: str) -> httpx.Response:
        return await http.get(path, params=params, auth=app.basic)

    report = (await usage(groupBy="user")).json()
    today = datetime.now(UTC).date()
    assert report["totals"] == {"requestCount": 6, "totalFeeWei": str(6 * PRICE)}
    assert [(each["user_id"], each["total_wei"], each["request_count"]) for each in report["users"]] == [
        (ann, str(3 * PRICE), 3),
        (bob, str(PRICE), 1),
    ]
    assert [(each["endUserId"], each["externalUserId"], each["feeWei"]) for each in report["byUser"]] == [
        (ann, "ann", str(3 * PRICE)),
        (bob, "bob", str(PRICE)),
    ]
    assert report["period"]["end"] >= today.isoformat()
    assert (await usage()).json()["byUser"] is None

    for params in ({"userId": ann}, {"externalUserId": "ann"}):
        one = (await usage(**params)).json()
        assert (one["totals"]["totalFeeWei"], len(one["users"])) == (str(3 * PRICE), 1)
    window = {"startDate": f"{today}T00:00:00.000Z", "endDate": f"{today}T23:59:59.999Z"}
    assert (await usage(**window)).json()["totals"]["requestCount"] == 6
    past = str(today - timedelta(days=9))
    assert (await usage(startDate=past, endDate=past)).json()["totals"]["requestCount"] == 0
    for wrong in (
        {"startDate": "yesterday"},
        {"startDate": "2026-13-01"},
        {"endDate": "1e9"},
        {"startDate": "2026-02-02", "endDate": "2026-02-01"},
        {"groupBy": "model"},
        {"userId": ann, "externalUserId": "ann"},
        {"gatewayRequestId": "01"},
    ):
        refused = await usage(**wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter"), wrong
    assert (await usage(userId="usr_none")).status_code == 404

    mine = await http.get("/api/v1/user/usage", headers=bearer(key))
    assert mine.json()["totals"] == {"requestCount": 3, "totalFeeWei": str(3 * PRICE)}
    assert [each["user_id"] for each in mine.json()["users"]] == [ann]
    for name in ("userId", "externalUserId"):
        refused = await http.get("/api/v1/user/usage", params={name: "bob"}, headers=bearer(key))
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
    assert (await http.get("/api/v1/user/usage", headers=bearer(own))).status_code == 403


async def test_balances_are_those_of_the_wallets(priced: tuple[Deployment, BuilderApp]) -> None:
    deployment, app = priced
    user = await app.user("ann")
    token = await app.user_token(user)
    for arguments, amount in (((), "5" + "0" * 24), (("--user", user), "42")):
        code, _, err = await deployment.cli("credits", "grant", "--app", app.client_id, *arguments, amount)
        assert code == 0, err
    wallet = (await app.http.get(f"{app.path}/usage/balance", auth=app.basic)).json()
    assert (wallet["available"], wallet["userId"], wallet["held"]) == ("5" + "0" * 24, None, "0")
    params = {"externalUserId": "ann"}
    of_user = (await app.http.get(f"{app.path}/usage/balance", params=params, auth=app.basic)).json()
    own = (await app.http.get("/api/v1/user/usage/balance", headers=bearer(token))).json()
    assert own == of_user
    assert (own["available"], own["granted"], own["userId"]) == ("42", "42", user)
