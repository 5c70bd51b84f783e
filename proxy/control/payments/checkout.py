"""A checkout: a page of a payment provider on which a customer buys credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from config.payments import PaymentSettings
from config.runtime import Currency


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout that is wanted; either an amount or a subscription."""

    request_id: str
    """Makes a repeated attempt at the provider one checkout."""
    app: str
    user: str | None
    """Whose wallet gets the credits; None: that of the app."""
    minor_amount: int
    """In the smallest unit of the provider's currency."""
    subscription: str | None
    success_url: str
    cancel_url: str


@dataclass(frozen=True, slots=True)
class CreatedCheckout:
    """A checkout at its provider."""

    id: str
    url: str
    expires_at: int
    """Unix seconds."""


class CheckoutFailed(Exception):
    """The provider has not created it; the message is for the log."""


class Checkouts(Protocol):
    """A provider of checkouts."""

    async def create(self, wanted: Checkout) -> CreatedCheckout:
        """Create a checkout. Raises `CheckoutFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class CheckoutServices:
    """What checkouts are made with."""

    checkouts: Checkouts | None
    """None: none can be made here."""
    settings: PaymentSettings
    currency: Currency
    public_url: str | None
