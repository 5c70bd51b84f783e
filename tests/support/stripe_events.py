"""Events as Stripe sends them (API version 2026-10-28), as far as they matter, signed by its own library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stripe import WebhookSignature
from ulid import ULID

SECRET = "whsec_of_the_tests"


def event(kind: str, members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"evt_{ULID()}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_793_000_000,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        "data": {"object": dict(members)},
    }


def metadata(app: str, user: str = "") -> dict[str, str]:
    return {"tollgate_client_id": app} | ({"tollgate_user": user} if user else {})


def checkout(intent: str, app: str, cents: int, *, user: str = "", **members: Any) -> dict[str, Any]:
    session = {
        "id": f"cs_{intent}",
        "object": "checkout.session",
        "amount_total": cents,
        "amount_subtotal": cents,
        "currency": "usd",
        "client_reference_id": app,
        "metadata": metadata(app, user),
        "mode": "payment",
        "payment_intent": intent,
        "payment_status": "paid",
        "status": "complete",
    }
    return event("checkout.session.completed", session | members)


def charge_refunded(intent: str, cents: int) -> dict[str, Any]:
    charge = {"id": f"ch_{intent}", "object": "charge", "amount_refunded": cents, "currency": "usd"}
    return event("charge.refunded", charge | {"payment_intent": intent, "metadata": {}})


def refund(intent: str, id_: str, cents: int, status: str = "succeeded") -> dict[str, Any]:
    kind = "refund.failed" if status == "failed" else "refund.created"
    members = {"id": id_, "object": "refund", "amount": cents, "currency": "usd", "charge": f"ch_{intent}"}
    return event(kind, members | {"payment_intent": intent, "status": status})


def dispute(intent: str, id_: str, cents: int, status: str = "needs_response", currency: str = "usd") -> dict[str, Any]:
    kind = {"won": "charge.dispute.closed", "lost": "charge.dispute.closed"}.get(status, "charge.dispute.created")
    members = {"id": id_, "object": "dispute", "amount": cents, "currency": currency, "charge": f"ch_{intent}"}
    return event(kind, members | {"payment_intent": intent, "status": status})


def invoice_paid(invoice: str, app: str, cents: int) -> dict[str, Any]:
    details = {"metadata": metadata(app), "subscription": f"sub_{app}"}
    parent = {"type": "subscription_details", "subscription_details": details, "quote_details": None}
    members = {"id": invoice, "object": "invoice", "amount_paid": cents, "currency": "usd", "status": "paid"}
    return event("invoice.paid", members | {"parent": parent})


def invoice_payment_paid(invoice: str, intent: str, cents: int) -> dict[str, Any]:
    payment = {"type": "payment_intent", "payment_intent": intent}
    members = {"id": f"inpay_{intent}", "object": "invoice_payment", "amount_paid": cents, "currency": "usd"}
    return event("invoice_payment.paid", members | {"invoice": invoice, "payment": payment, "status": "paid"})


def signed(document: Mapping[str, Any], *, secret: str = SECRET, at: int | None = None) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery."""
    body = json.dumps(document)
    header = WebhookSignature.generate_signature_header(body, secret, timestamp=at)
    return body.encode(), {"stripe-signature": header, "content-type": "application/json"}
