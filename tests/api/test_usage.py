"""Usage and balances over HTTP: numbers that equal the ledger, for the caller they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.runtime import Currency
from proxy.api.usage.grouping import usd_micros
from tests.support.builder import BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment, deployed

pytestmark = pytest.mark.ci


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
        {"groupBy": "tier"},
        {"groupBy": "pipeline"},
        {"userId": ann, "externalUserId": "ann"},
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


async def test_usage_by_each_dimension_adds_up_to_the_total(priced: tuple[Deployment, BuilderApp]) -> None:
    deployment, app = priced
    http = app.http
    ann, own = await app.user("ann"), await deployment.key(app.client_id)
    key = (await http.post(f"{app.path}/users/ann/keys", json={}, auth=app.basic)).json()
    for credential, model in ((key["key"], "m"), (key["key"], "n"), (own, "m")):
        sent = await http.post("/text-to-image", json={**IMAGE, "model_id": model}, headers=bearer(credential))
        assert sent.status_code == 200
    events = await deployment.settled(3, app.client_id)
    day = events[0]["time"][:10]
    [own_key] = {event["key"] for event in events} - {key["key_id"]}
    expected = {
        "workload": {"text-to-image": 3},
        "model": {"m": 2, "n": 1},
        "key": {key["key_id"]: 2, own_key: 1},
        "day": {day: 3},
        "month": {day[:7]: 3},
    }
    for dimension, counts in expected.items():
        report = (await http.get(f"{app.path}/usage", params={"groupBy": dimension}, auth=app.basic)).json()
        assert {each["value"]: each["requestCount"] for each in report["groups"]} == counts, dimension
        assert {each["feeWei"] for each in report["groups"]} == {str(PRICE * count) for count in counts.values()}
        assert sum(each["units"]["generations"] for each in report["groups"]) == 3
        assert (report["byUser"], report["totals"]["requestCount"]) == (None, 3)
        params = {"groupBy": dimension, "userId": ann}
        of_ann = (await http.get(f"{app.path}/usage", params=params, auth=app.basic)).json()
        mine = (await http.get("/api/v1/user/usage", params={"groupBy": dimension}, headers=bearer(key["key"]))).json()
        assert sum(each["requestCount"] for each in of_ann["groups"]) == 2
        assert mine == of_ann


async def test_usage_by_pipeline_and_model_is_exact_for_the_app_and_for_its_users(
    priced: tuple[Deployment, BuilderApp],
) -> None:
    """Hazard: groups of two dimensions that lose or double what groups of one have."""
    deployment, app = priced
    ann, own = await app.user("ann"), await deployment.key(app.client_id)
    token = await app.user_token(ann)
    for credential, model in ((token, "m"), (token, "n"), (token, "n"), (own, "m")):
        sent = await app.http.post("/text-to-image", json={**IMAGE, "model_id": model}, headers=bearer(credential))
        assert sent.status_code == 200
    day = (await deployment.settled(4, app.client_id))[0]["time"][:10]

    def rows(**counts: int) -> list[dict[str, Any]]:
        head = {"pipeline": "text-to-image", "currency": "ETH", "networkFeeUsdMicros": None}
        return [
            {**head, "modelId": model, "requestCount": count, "feeWei": str(PRICE * count)}
            for model, count in counts.items()
        ]

    groupings = {"byPipelineModel": "pipeline_model", "byDailyPipeline": "daily_pipeline"}
    for member, grouping in groupings.items():
        dated = {"date": day} if grouping == "daily_pipeline" else {}
        whole = await app.http.get(f"{app.path}/usage", params={"groupBy": grouping}, auth=app.basic)
        mine = await app.http.get("/api/v1/user/usage", params={"groupBy": grouping}, headers=bearer(token))
        assert whole.json()[member] == [each | dated for each in rows(m=2, n=2)]
        assert mine.json()[member] == [each | dated for each in rows(m=1, n=2)]
        others = {"byUser", "groups", *groupings} - {member}
        assert {whole.json()[each] for each in others} == {None}
    plain = (await app.http.get(f"{app.path}/usage", params={"groupBy": "none"}, auth=app.basic)).json()
    assert {plain[each] for each in ("byUser", "groups", *groupings)} == {None}


@pytest.mark.parametrize(
    ("code", "decimals", "micros"), [("USD", 6, "12"), ("USD", 2, "120000"), ("USD", 7, None), ("ETH", 6, None)]
)
def test_micro_dollars_are_exact_or_not_given(code: str, decimals: int, micros: str | None) -> None:
    assert usd_micros(12, Currency(code=code, decimals=decimals)) == micros


async def test_usage_of_one_request_is_that_of_its_event(priced: tuple[Deployment, BuilderApp]) -> None:
    """Hazard: a filter that is ignored, so that the sum of all passes for that of one request."""
    deployment, app = priced
    http = app.http
    ann, bob = await app.user("ann"), await app.user("bob")
    tokens = [await app.user_token(ann), await app.user_token(bob)]
    sent = [await http.post("/text-to-image", json=IMAGE, headers=bearer(token)) for token in tokens]
    await deployment.settled(2, app.client_id)
    other = await builder_app(deployment, http, "priced")
    ids = [response.headers["x-request-id"] for response in sent]

    async def counts(path: str, request_id: str, **how: Any) -> list[int]:
        response = await http.get(path, params={"gatewayRequestId": request_id}, **how)
        assert response.status_code == 200, response.text
        report = response.json()
        assert report["totals"]["totalFeeWei"] == str(PRICE * report["totals"]["requestCount"])
        return [each["request_count"] for each in report["users"]]

    assert await counts(f"{app.path}/usage", ids[0], auth=app.basic) == [1, 0]
    assert await counts(f"{app.path}/usage", ids[1], auth=app.basic) == [0, 1]
    assert await counts("/api/v1/user/usage", ids[0], headers=bearer(tokens[0])) == [1]
    assert await counts("/api/v1/user/usage", ids[0], headers=bearer(tokens[1])) == [0]
    assert await counts(f"{other.path}/usage", ids[0], auth=other.basic) == []
    for unknown in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", ids[0][:-1], f"{ids[0]}-", "%", ""):
        assert await counts(f"{app.path}/usage", unknown, auth=app.basic) == [0, 0]


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


async def test_a_user_reads_its_own_requests_and_no_others(priced: tuple[Deployment, BuilderApp]) -> None:
    """Hazard: requests of another user, or fees that do not add up to the usage."""
    deployment, app = priced
    ann, bob = await app.user("ann"), await app.user("bob")
    tokens = [await app.user_token(ann), await app.user_token(bob)]
    sent = [await app.http.post("/text-to-image", json=IMAGE, headers=bearer(tokens[at])) for at in (0, 1, 0, 0)]
    await deployment.settled(4, app.client_id)
    mine = [sent[at].headers["x-request-id"] for at in (3, 2, 0)]
    path, headers = "/api/v1/user/usage/requests", bearer(tokens[0])
    first = (await app.http.get(path, params={"limit": 2}, headers=headers)).json()
    rest = (await app.http.get(path, params={"limit": 2, "before": first["next"]}, headers=headers)).json()
    assert [each["id"] for each in first["requests"] + rest["requests"]] == mine
    assert (rest["next"], rest["userId"], rest["requests"][0]["status"]) == (None, ann, 200)
    usage = (await app.http.get("/api/v1/user/usage", headers=headers)).json()
    fees = sum(int(each["feeWei"]) for each in first["requests"] + rest["requests"])
    assert fees == int(usage["totals"]["totalFeeWei"]) == 3 * PRICE
    for wrong in ({"userId": bob}, {"before": "???"}, {"limit": 0}, {"limit": 101}):
        refused = await app.http.get(path, params=wrong, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter"), wrong
    assert (await app.http.get(path, headers=bearer(await app.token()))).status_code == 403
