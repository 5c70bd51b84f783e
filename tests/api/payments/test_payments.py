"""Money in: signed payloads of Stripe's own library, in any order and thrice, and reports of any other provider."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.api.payments.conftest import STRIPE_KEY, WATCHER, Shop
from tests.support import stripe_events as events
from tests.support.builder import BuilderApp, bearer

pytestmark = pytest.mark.asyncio(loop_scope="package")
STRIPE, USDC = "/api/v1/payments/stripe", "/api/v1/payments/usdc"
CENT = 10_000


async def deliver(http: httpx.AsyncClient, document: Mapping[str, Any], **how: Any) -> httpx.Response:
    body, headers = events.signed(document, **how)
    return await http.post(STRIPE, content=body, headers=headers)


async def report(
    http: httpx.AsyncClient, kind: str, data: Mapping[str, Any], *, secret: str = WATCHER, at: datetime | None = None
) -> httpx.Response:
    body, when = json.dumps({"type": kind, "data": data}), at or datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", when, body)
    seconds = str(int(when.timestamp()))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": signature}
    return await http.post(USDC, content=body, headers=headers)


async def available(app: BuilderApp) -> int:
    response = await app.http.get(f"{app.path}/usage/balance", auth=app.basic)
    assert response.status_code == 200, response.text
    return int(response.json()["available"])


@pytest.mark.ci
async def test_each_event_three_times_in_any_order_leaves_the_right_balance(
    shop: Shop, app: BuilderApp, http: httpx.AsyncClient
) -> None:
    name = app.client_id
    delivered = [
        events.checkout(f"pi_1{name}", name, 2_500),
        events.checkout(f"pi_2{name}", name, 1_000),
        events.charge_refunded(f"pi_1{name}", 500),
        events.refund(f"pi_1{name}", f"re_1{name}", 500),
        events.dispute(f"pi_2{name}", f"dp_1{name}", 1_000),
        events.dispute(f"pi_2{name}", f"dp_1{name}", 1_000, "won"),
        events.invoice_paid(f"in_1{name}", name, 2_000),
        events.invoice_payment_paid(f"in_1{name}", f"pi_3{name}", 2_000),
        events.dispute(f"pi_3{name}", f"dp_2{name}", 2_000, "lost"),
    ] * 3
    random.Random(13).shuffle(delivered)
    for document in delivered:
        response = await deliver(http, document)
        assert (response.status_code, response.json()) == (200, {"taken": 1})
    assert await available(app) == (2_000 + 1_000) * CENT
    code, out, _ = await shop.deployment.cli("verify", "--app", name, "--json")
    assert (code, json.loads(out)["differences"]) == (0, [])
    month = f"{datetime.now(UTC):%Y-%m}"
    code, out, _ = await shop.deployment.cli("statements", "--app", name, "--period", month, "--json")
    [wallet] = json.loads(out)["credits"]
    moved = int(wallet["granted"]) - int(wallet["returned"])
    assert (moved, int(wallet["closing"]), wallet["debited"]) == (3_000 * CENT, 3_000 * CENT, "0")
    lines = (await http.get(f"{app.path}/audit?action=payment.report", auth=app.basic)).json()["lines"]
    paid = [each for each in await shop.deployment.events(name) if each["type"] == "credit"]
    assert len(lines) == len(paid)
    assert sum(int(line["detail"]["amount"]) for line in lines) == 3_000 * CENT
    assert {(line["actor_kind"], line["target_kind"]) for line in lines} == {("system", "payment")}


async def test_a_payment_is_spent_and_its_refund_closes_the_door(
    shop: Shop, app: BuilderApp, http: httpx.AsyncClient
) -> None:
    customer = await shop.deployment.customer("prepaid")
    request: Any = {"headers": customer.headers, "json": {"model_id": "m", "prompt": "p"}}
    refused = await http.post("/text-to-image", **request)
    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_balance")
    assert (await deliver(http, events.checkout("pi_spent", customer.app, 1))).status_code == 200
    assert (await http.post("/text-to-image", **request)).status_code == 200
    await shop.deployment.settled(2, customer.app)
    assert (await deliver(http, events.charge_refunded("pi_spent", 1))).status_code == 200
    code, out, _ = await shop.deployment.cli("credits", "show", "--app", customer.app, "--json")
    assert (code, json.loads(out)["available"]) == (0, "-1000")
    refused = await http.post("/text-to-image", **request)
    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_balance")


async def test_a_signature_that_is_not_stripes_or_too_old_is_refused(app: BuilderApp, http: httpx.AsyncClient) -> None:
    document = events.checkout("pi_forged", app.client_id, 100)
    body, headers = events.signed(document)
    old, _ = int(time.time()) - 301, None
    responses = [
        await deliver(http, document, secret="whsec_of_somebody_else"),
        await deliver(http, document, at=old),
        await http.post(STRIPE, content=body.replace(b'"amount_total": 100', b'"amount_total": 900'), headers=headers),
        await http.post(STRIPE, content=b"\xff" + body, headers=headers),
        await http.post(STRIPE, content=body),
        await http.post(STRIPE, content=body, headers={"stripe-signature": "t=x,v1=y"}),
    ]
    for response in responses:
        assert (response.status_code, response.json()["code"]) == (400, "invalid_signature")
    assert await available(app) == 0


async def test_what_cannot_be_used_says_why(app: BuilderApp, http: httpx.AsyncClient) -> None:
    unknown = await deliver(http, events.checkout("pi_x", "app_" + "a" * 16, 100))
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_id")
    euros = await deliver(http, events.checkout("pi_y", app.client_id, 100, currency="eur"))
    assert (euros.status_code, euros.json()["code"]) == (422, "unknown_currency")
    for document in (events.event("charge.refunded", {"id": "ch_1"}), {"type": "charge.refunded"}):
        assert (await deliver(http, document)).json()["code"] == "invalid_parameter"
    assert (await deliver(http, events.event("customer.created", {}))).json() == {"taken": 0}
    assert (await http.post("/api/v1/payments/other", content=b"{}")).status_code == 404
    assert (await http.get(STRIPE)).status_code == 405
    assert (await http.post(STRIPE, content=b" " * (1024 * 1024 + 1))).status_code == 413
    assert await available(app) == 0


async def test_any_other_provider_reports_by_standard_webhooks(app: BuilderApp, http: httpx.AsyncClient) -> None:
    paid = {"payment": "0xabc:1", "client_id": app.client_id, "amount": "2500000", "currency": "USDC"}
    delivered = [
        ("payment.paid", paid),
        ("payment.refunded", {"payment": "0xabc:1", "id": "0xdef:1", "amount": "500000"}),
        ("payment.disputed", {"payment": "0xabc:1", "id": "d1", "amount": "100"}),
        ("payment.dispute_won", {"payment": "0xabc:1", "id": "d1"}),
    ] * 3
    random.Random(17).shuffle(delivered)
    for kind, data in delivered:
        assert (await report(http, kind, data)).json() == {"taken": 1}
    assert await available(app) == 2_000_000
    other = "whsec_" + "c29tZWJvZHkgZWxzZSdzIHNlY3JldA=="
    stale = datetime.now(UTC) - timedelta(minutes=6)
    for how in ({"secret": other}, {"at": stale}):
        response = await report(http, "payment.paid", paid, **how)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_signature")
    for data in ({**paid, "amount": "1.5"}, {**paid, "client_id": "someone"}, {"payment": "p"}):
        assert (await report(http, "payment.paid", data)).json()["code"] == "invalid_parameter"
    assert (await report(http, "payment.stolen", paid)).status_code == 400


async def test_a_checkout_names_whose_credits_it_buys(shop: Shop, app: BuilderApp, http: httpx.AsyncClient) -> None:
    user = await app.user("ann")
    body = {"amount": str(2_500 * CENT), "user": "ann", "cancel_url": "https://shop.example/cancelled"}
    response = await http.post(f"{app.path}/checkout", json=body, auth=app.basic)
    assert response.status_code == 201, response.text
    assert response.json()["url"].startswith("https://checkout.stripe.com/c/pay/cs_test_")
    headers, form = shop.stripe.requests[-1]
    assert headers["authorization"] == f"Bearer {STRIPE_KEY}"
    assert headers["idempotency-key"] == response.headers["x-request-id"]
    assert form == {
        "mode": "payment",
        "client_reference_id": app.client_id,
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "2500",
        "line_items[0][price_data][product_data][name]": "Credits",
        "line_items[0][quantity]": "1",
        "metadata[tollgate_client_id]": app.client_id,
        "metadata[tollgate_user]": user,
        "payment_intent_data[metadata][tollgate_client_id]": app.client_id,
        "payment_intent_data[metadata][tollgate_user]": user,
        "success_url": "https://shop.example",
        "cancel_url": "https://shop.example/cancelled",
    }
    assert (await http.post(f"{app.path}/checkout", json={"subscription": "pro"}, auth=app.basic)).status_code == 201
    _, form = shop.stripe.requests[-1]
    assert (form["mode"], form["line_items[0][price]"]) == ("subscription", "price_pro")
    assert form["subscription_data[metadata][tollgate_client_id]"] == app.client_id
    lines = (await http.get(f"{app.path}/audit?action=checkout.create", auth=app.basic)).json()["lines"]
    assert [line["target"] for line in lines] == ["cs_test_2", "cs_test_1"]


async def test_a_checkout_that_cannot_be_is_refused(shop: Shop, app: BuilderApp, http: httpx.AsyncClient) -> None:
    count = len(shop.stripe.requests)
    for body in (
        {"amount": str(2_500 * CENT + 1)},
        {"amount": str(499 * CENT)},
        {"amount": "0"},
        {"subscription": "gold"},
        {"amount": "1", "subscription": "pro"},
        {},
        {"amount": str(500 * CENT), "success_url": "javascript:alert(1)"},
    ):
        response = await http.post(f"{app.path}/checkout", json=body, auth=app.basic)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter"), body
    reader = bearer(await app.token("read"))
    body = {"amount": str(500 * CENT)}
    assert (await http.post(f"{app.path}/checkout", json=body, headers=reader)).status_code == 403
    assert len(shop.stripe.requests) == count
    shop.stripe.fails = True
    try:
        response = await http.post(f"{app.path}/checkout", json=body, auth=app.basic)
    finally:
        shop.stripe.fails = False
    assert (response.status_code, response.json()["code"]) == (503, "payment_unavailable")
    assert STRIPE_KEY not in shop.deployment.log.read_text()
