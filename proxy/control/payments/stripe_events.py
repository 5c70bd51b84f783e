"""What Stripe's events say of payments, in API version 2026-10-28 and in older ones where they differ.

A top-up is known by its payment intent. A subscription pays by invoice; its payment intents are parts of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from proxy.control.payments.facts import Fact

CLIENT_ID, USER = "tollgate_client_id", "tollgate_user"
"""Members of the metadata that a checkout gives to everything that is made of it."""
FAILED = ("failed", "canceled")
WON = ("won", "warning_closed", "prevented")
"""Status of disputes that leave the payment as it was."""
INQUIRY = "warning_"
"""Beginning of the status of an inquiry, which takes nothing."""

RateOf = Callable[[str], int]
"""Returns the rate of a currency; raises what its caller knows of."""
Found = Iterator[tuple[str, Fact]]
"""Id of a payment, and a fact about it."""


class _Data(msgspec.Struct):
    object: dict[str, Any]


class StripeEvent(msgspec.Struct):
    """An event, as far as it is read here."""

    id: str
    type: str
    data: _Data


DECODE = msgspec.json.Decoder(StripeEvent).decode


def facts_of(event: StripeEvent, rate_of: RateOf) -> list[tuple[str, Fact]]:
    """Return what an event says of payments; nothing where it is about anything else.

    Raises `KeyError`, `TypeError` or `ValueError` for an object that is not of its kind.
    """
    reader = _READERS.get(event.type)
    return list(reader(event.data.object, rate_of)) if reader else []


def _checkout(session: Mapping[str, Any], rate_of: RateOf) -> Found:
    if session["mode"] == "payment" and session["payment_status"] == "paid":
        yield from _paid(_id(session["payment_intent"]), session["amount_total"], session, session["metadata"], rate_of)


def _invoice(invoice: Mapping[str, Any], rate_of: RateOf) -> Found:
    details = (invoice.get("parent") or invoice).get("subscription_details") or {}
    yield from _paid(invoice["id"], invoice["amount_paid"], invoice, details.get("metadata"), rate_of)
    if intent := invoice.get("payment_intent"):  # before 2025-03-31
        yield _id(intent), Fact("part", id=invoice["id"])


def _invoice_payment(payment: Mapping[str, Any], _: RateOf) -> Found:
    if intent := payment["payment"].get("payment_intent"):
        yield _id(intent), Fact("part", id=_id(payment["invoice"]))


def _charge(charge: Mapping[str, Any], _: RateOf) -> Found:
    if intent := charge["payment_intent"]:
        yield _id(intent), Fact("refunded", amount=str(int(charge["amount_refunded"])), currency=_currency(charge))


def _refund(refund: Mapping[str, Any], _: RateOf) -> Found:
    if intent := refund["payment_intent"]:
        undone = refund["status"] in FAILED
        amount = str(int(refund["amount"]))
        yield _id(intent), Fact("refund", id=refund["id"], amount=amount, currency=_currency(refund), undone=undone)


def _dispute(dispute: Mapping[str, Any], _: RateOf) -> Found:
    status, undone = dispute["status"], dispute["status"] in WON
    if (intent := dispute["payment_intent"]) and (undone or not status.startswith(INQUIRY)):
        amount = str(int(dispute["amount"]))
        yield _id(intent), Fact("dispute", id=dispute["id"], amount=amount, currency=_currency(dispute), undone=undone)


def _paid(
    payment: str, amount: int, of: Mapping[str, Any], metadata: Mapping[str, str] | None, rate_of: RateOf
) -> Found:
    app = (metadata or {}).get(CLIENT_ID)
    if app and int(amount) > 0:  # else it is no checkout of Tollgate
        currency = _currency(of)
        yield (
            payment,
            Fact(
                "paid",
                amount=str(int(amount)),
                currency=currency,
                app=app,
                user=(metadata or {}).get(USER, ""),
                rate=str(rate_of(currency)),
            ),
        )


def _id(of: str | Mapping[str, Any]) -> str:
    """Return the id of what is named, or written out in full."""
    return of if isinstance(of, str) else str(of["id"])


def _currency(of: Mapping[str, Any]) -> str:
    return str(of["currency"]).upper()


_READERS: Mapping[str, Callable[[Mapping[str, Any], RateOf], Found]] = {
    "checkout.session.completed": _checkout,
    "checkout.session.async_payment_succeeded": _checkout,
    "invoice.paid": _invoice,
    "invoice_payment.paid": _invoice_payment,
    "charge.refunded": _charge,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "charge.dispute.closed": _dispute,
}
EVENT_TYPES = tuple(_READERS)
"""Events that the webhook endpoint at Stripe has to send."""
