"""Composition of payments: their webhooks, and checkouts. Stripe's library is loaded where it is configured alone."""

from __future__ import annotations

from proxy.api.payments.webhooks import PaymentWebhooks
from proxy.control.apps import Apps
from proxy.control.audit.log import AuditLog
from proxy.control.payments.book import PaymentBook
from proxy.control.payments.checkout import CheckoutServices
from proxy.server.worker_application import ControlServices


def payment_webhooks(services: ControlServices, apps: Apps, audit: AuditLog) -> PaymentWebhooks:
    """Return the webhooks of payment providers."""
    settings, store = services.settings, services.store
    book = PaymentBook(store.redis, store, services.keys, apps)
    verifier = None
    if secret := settings.payments.stripe.webhook_secret:
        from proxy.control.payments.stripe_checkout import SignatureCheck  # noqa: PLC0415

        verifier = SignatureCheck(secret.get_secret_value())
    return PaymentWebhooks(book, audit, settings.payments, settings.currency, verifier)


def checkout_services(services: ControlServices) -> CheckoutServices:
    """Return what checkouts are made with."""
    settings = services.settings
    checkouts = None
    if key := settings.payments.stripe.secret_key:
        from proxy.control.payments.stripe_checkout import StripeCheckouts  # noqa: PLC0415

        checkouts = StripeCheckouts(settings.payments.stripe, key.get_secret_value())
    return CheckoutServices(checkouts, settings.payments, settings.currency, settings.public_url)
