"""Reports of payments by any other provider, or a watcher of a chain: JSON signed by Standard Webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from proxy.control.payments.facts import Fact

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+\Z")]
Digits = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,27})\Z")]


class _Report(msgspec.Struct, tag_field="type", frozen=True):
    pass


class PaidData(msgspec.Struct, frozen=True):
    """A payment that was made."""

    payment: Id
    """Id at the provider, for example a transaction hash and the index of its log."""
    client_id: Annotated[str, msgspec.Meta(pattern=r"^app_[a-z2-7]{16}\Z")]
    amount: Digits
    """In the smallest unit of the currency."""
    currency: Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{3,8})?\Z")] = ""
    """Empty: the amount is in atomic units of the deployment's currency."""
    user: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{0,128}\Z")] = ""


class TakenData(msgspec.Struct, frozen=True):
    """A refund or dispute of a payment, in the payment's currency."""

    payment: Id
    id: Id
    """Id of the refund or dispute."""
    amount: Digits


class UndoneData(msgspec.Struct, frozen=True):
    """A refund that failed, or a dispute that was won."""

    payment: Id
    id: Id


class Paid(_Report, tag="payment.paid", frozen=True):
    """A payment was made."""

    data: PaidData


class Refunded(_Report, tag="payment.refunded", frozen=True):
    """Money of a payment went back."""

    data: TakenData


class RefundFailed(_Report, tag="payment.refund_failed", frozen=True):
    """A refund did not happen."""

    data: UndoneData


class Disputed(_Report, tag="payment.disputed", frozen=True):
    """The customer's bank has taken money of a payment back."""

    data: TakenData


class DisputeWon(_Report, tag="payment.dispute_won", frozen=True):
    """It was given back."""

    data: UndoneData


Report = Paid | Refunded | RefundFailed | Disputed | DisputeWon
DECODE = msgspec.json.Decoder(Report).decode


def fact_of(report: Report, rate_of: Callable[[str], int]) -> tuple[str, Fact]:
    """Return the id of the payment, and what is reported of it. A refund has no currency: it is in the payment's."""
    data = report.data
    if isinstance(data, PaidData):
        rate = str(rate_of(data.currency)) if data.currency else "1"
        fact = Fact("paid", amount=data.amount, app=data.client_id, user=data.user, rate=rate)
        return data.payment, fact
    kind: Literal["refund", "dispute"] = "refund" if isinstance(report, Refunded | RefundFailed) else "dispute"
    if isinstance(data, UndoneData):
        return data.payment, Fact(kind, id=data.id, undone=True)
    return data.payment, Fact(kind, id=data.id, amount=data.amount)
