"""Settings of payments: how money of customers becomes prepaid credits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationInfo, model_validator

from config.base import Model, Name, Whole, faults
from config.routing import Origin
from config.runtime import Currency

NO_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
"""Currencies whose smallest unit at Stripe is the unit itself; of ISK and UGX it is a hundredth, though always 00."""
THREE_DECIMALS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))

CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3,8}$")]
Rate = Annotated[int, Field(gt=0, le=10**27), Whole]


def minor_decimals(code: str) -> int:
    """Return the decimals of a currency's smallest unit, as payment providers count it: cents, yen."""
    return 0 if code in NO_DECIMALS else 3 if code in THREE_DECIMALS else 2


class StripeSettings(Model):
    """Payments by Stripe Checkout; needs the extra `stripe`."""

    secret_key: SecretStr | None = Field(
        None,
        min_length=1,
        description="Secret or restricted API key, which creates checkouts. None: none can be created.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        min_length=1,
        description="Signing secret of the webhook endpoint. None: `/api/v1/payments/stripe` is 404.",
    )
    currency: CurrencyCode = Field("USD", description="Currency of top-ups; the rate must be known.")
    smallest: Annotated[int, Field(ge=1, le=99_999_999), Whole] = Field(
        500, description="Smallest top-up, in the smallest unit of the currency, such as cents."
    )
    largest: Annotated[int, Field(ge=1, le=99_999_999), Whole] = Field(
        1_000_000, description="Largest top-up, likewise."
    )
    subscriptions: dict[Name, Annotated[str, Field(pattern=r"^price_[A-Za-z0-9_]{1,240}$")]] = Field(
        {}, description="Stripe's ids of recurring prices, by the name that a checkout asks for."
    )
    return_url: Origin | None = Field(
        None,
        description="Origin to which Stripe sends customers back where a checkout names no URL; unset: `public_url`.",
    )
    api_url: Origin | None = Field(None, description="Origin of Stripe's API; None: Stripe's own.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError("smallest is above largest")
        return self


class PaymentProvider(Model):
    """A provider, or a watcher of a chain, that reports payments signed by Standard Webhooks."""

    secret: SecretStr | None = Field(None, min_length=1, description="Signing secret, `whsec_` and base64.")
    secret_file: Path | None = Field(None, description="File with the signing secret.")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("give either `secret` or `secret_file`")
        return self


class PaymentSettings(Model):
    """How payments become credits. A currency that is the deployment's own needs no rate."""

    rates: dict[CurrencyCode, Rate] = Field(
        {}, description="Atomic units of credits for the smallest unit of a currency: for a cent, or a yen."
    )
    stripe: StripeSettings = Field(StripeSettings(), description="Payments by Stripe.")
    providers: dict[Name, PaymentProvider] = Field(
        {}, description="Others that report payments to `/api/v1/payments/{name}`."
    )

    def rate(self, currency: Currency, code: str) -> int | None:
        """Return the atomic units of the deployment's currency for the smallest unit of another; None: not known."""
        if code in self.rates:
            return self.rates[code]
        spare = currency.decimals - minor_decimals(code)
        return 10**spare if code == currency.code and spare >= 0 else None


def usable_payments(payments: PaymentSettings, info: ValidationInfo) -> PaymentSettings:
    """Refuse payments whose currency has no rate: what a customer pays would be worth nothing that is known."""
    stripe, currency = payments.stripe, info.data.get("currency")
    if "stripe" in payments.providers:
        raise faults([(("providers", "stripe"), "is Stripe's own name; use payments.stripe, or another name")])
    if currency and (stripe.secret_key or stripe.webhook_secret) and payments.rate(currency, stripe.currency) is None:
        where = f"has no rate for {stripe.currency}: a deployment in {currency.code} with {currency.decimals} decimals"
        raise faults([(("rates",), f"{where} needs the atomic units for its smallest unit")])
    return payments
