"""Stripe's own library: signatures of its webhooks, and Checkout sessions. Loaded where Stripe is configured alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe import HTTPXClient, SignatureVerificationError, StripeClient, StripeError, WebhookSignature

from config.payments import StripeSettings
from proxy.control.payments.checkout import Checkout, CheckoutFailed, CreatedCheckout
from proxy.control.payments.stripe_events import CLIENT_ID, USER

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

TOLERANCE_SECONDS = 300
"""Age of a signature that is still taken; the library's own default."""
SECONDS = 10.0
RETRIES = 1


class SignatureCheck:
    """Checks the signatures of webhooks."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def verify(self, body: bytes, signature: str | None) -> None:
        """Raise `ValueError` for a signature that is not by Stripe, or too old."""
        try:
            WebhookSignature.verify_header(body, signature, self._secret, TOLERANCE_SECONDS)
        except (SignatureVerificationError, TypeError):  # the library compares no text beyond ASCII
            raise ValueError("the signature is not by Stripe, or too old") from None


class StripeCheckouts:
    """Creates Checkout sessions. Their metadata says whose credits they buy, on everything that is made of them."""

    def __init__(self, settings: StripeSettings, secret_key: str) -> None:
        self._subscriptions = settings.subscriptions
        self._currency = settings.currency.lower()
        self._client = StripeClient(
            secret_key,
            http_client=HTTPXClient(timeout=SECONDS),
            max_network_retries=RETRIES,
            base_addresses={"api": settings.api_url} if settings.api_url else {},
        )

    async def create(self, wanted: Checkout) -> CreatedCheckout:
        """Create a session. Raises `CheckoutFailed`."""
        params = self._params(wanted)
        try:
            session = await self._client.v1.checkout.sessions.create_async(
                params, {"idempotency_key": wanted.request_id}
            )
        except StripeError as error:  # its message may quote what was sent
            raise CheckoutFailed(f"{type(error).__name__} {error.code or error.http_status or ''}".strip()) from None
        return CreatedCheckout(session.id, session.url or "", session.expires_at)

    def _params(self, wanted: Checkout) -> SessionCreateParams:
        metadata = {CLIENT_ID: wanted.app} | ({USER: wanted.user} if wanted.user else {})
        params: dict[str, Any] = {
            "client_reference_id": wanted.app,
            "metadata": metadata,
            "success_url": wanted.success_url,
            "cancel_url": wanted.cancel_url,
        }
        if wanted.subscription is not None:
            line: dict[str, Any] = {"price": self._subscriptions[wanted.subscription], "quantity": 1}
            params |= {"mode": "subscription", "subscription_data": {"metadata": metadata}}
        else:
            product = {"name": "Credits"}
            price = {"currency": self._currency, "unit_amount": wanted.minor_amount, "product_data": product}
            line = {"price_data": price, "quantity": 1}
            params |= {"mode": "payment", "payment_intent_data": {"metadata": metadata}}
        found: SessionCreateParams = {**params, "line_items": [line]}  # type: ignore[typeddict-item]
        return found
