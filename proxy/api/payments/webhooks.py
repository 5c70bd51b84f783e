"""The webhooks of payment providers: no credential, verified by their signatures, one audit line for each change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
import structlog
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from config.payments import PaymentSettings
from config.runtime import Currency
from middlewares.exchange import Exchange, Refusal
from middlewares.ledger.credit.prepaid import ReferenceTaken
from proxy.control.audit.line import Actor, ActorKind, AuditTarget
from proxy.control.audit.log import AuditLog
from proxy.control.payments import signed_reports, stripe_events
from proxy.control.payments.book import STRIPE, PaymentBook, ReportedPayment
from proxy.control.payments.extra import secret_of
from proxy.control.payments.facts import Fact
from proxy.control.records import UnknownRecord

PATH = "/api/v1/payments"
ACTION = "payment.report"

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.payments")


class StripeVerifier(Protocol):
    """Checks signatures as Stripe's library does; handed in, as only a deployment that uses it loads the library."""

    def verify(self, body: bytes, signature: str | None) -> None:
        """Raise `ValueError` for a signature that is not by Stripe, or too old."""


class PaymentWebhooks:
    """Takes reports of payments, in any order and however often they come."""

    def __init__(
        self,
        book: PaymentBook,
        audit: AuditLog,
        settings: PaymentSettings,
        currency: Currency,
        stripe: StripeVerifier | None,
    ) -> None:
        """`stripe` None: nothing is taken from Stripe. Raises `OSError` for a secret's file that cannot be read."""
        self._book = book
        self._audit = audit
        self._settings = settings
        self._currency = currency
        self._stripe = stripe
        self._verifiers = {name: Webhook(secret_of(each)) for name, each in settings.providers.items()}

    def routes(self) -> list[BaseRoute]:
        """Return the routes; a provider that is not configured is 404."""
        return [
            Route(f"{PATH}/stripe", self.of_stripe, methods=["POST"]),
            Route(f"{PATH}/{{provider}}", self.of_provider, methods=["POST"]),
        ]

    async def of_stripe(self, request: Request) -> Response:
        """Take an event of Stripe. Raises `Refusal`: 400 for a signature that is wrong or too old."""
        if self._stripe is None:
            raise _unknown_provider()
        body = await request.body()
        try:
            self._stripe.verify(body, request.headers.get("stripe-signature"))
        except ValueError:
            raise _bad_signature() from None
        try:
            event = stripe_events.DECODE(body)
            found = stripe_events.facts_of(event, self._rate)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            raise _unreadable() from None
        return await self._take(request, STRIPE, event.type, found)

    async def of_provider(self, request: Request) -> Response:
        """Take a report of another provider. Raises `Refusal`, likewise."""
        provider = request.path_params["provider"]
        verifier = self._verifiers.get(provider)
        if verifier is None:
            raise _unknown_provider()
        body = await request.body()
        try:
            verifier.verify(body, dict(request.headers))
        except (WebhookVerificationError, ValueError):
            raise _bad_signature() from None
        try:
            report = signed_reports.DECODE(body)
        except msgspec.DecodeError as error:
            raise Refusal(400, "invalid_parameter", f"The report cannot be used: {error}.") from None
        found = signed_reports.fact_of(report, self._rate)
        return await self._take(request, provider, type(report).__struct_config__.tag, [found])

    async def _take(self, request: Request, provider: str, what: object, found: Iterable[tuple[str, Fact]]) -> Response:
        taken = 0
        for payment, fact in found:
            await self._record(request, provider, f"{what}", payment, fact)
            taken += 1
        return JSONResponse({"taken": taken}, headers={"cache-control": "no-store"})

    async def _record(self, request: Request, provider: str, what: str, payment: str, fact: Fact) -> None:
        exchange: Exchange = request.scope["tollgate.exchange"]
        actor = Actor(ActorKind.SYSTEM, f"payments-{provider}", address=exchange.client_address)
        target = AuditTarget("payment", payment, fact.app)
        async with self._audit.act(None, ACTION, target) as act:
            act.detail |= {"event": what, "provider": provider}
            try:
                reported = await self._book.add(provider, payment, [fact])
            except UnknownRecord:
                act.actor = actor
                raise Refusal(422, "unknown_id", "The payment names an app that does not exist.") from None
            except ReferenceTaken as error:
                act.actor = actor
                raise Refusal(409, "reference_taken", f"{error}.") from None
            if reported.amount:  # a repetition writes no line, nor does what does not change a wallet yet
                act.actor, act.target = actor, AuditTarget("payment", reported.id, reported.app)
                act.detail |= {"amount": reported.amount, "user": reported.user}
                _log(provider, what, reported)

    def _rate(self, currency: str) -> int:
        rate = self._settings.rate(self._currency, currency)
        if rate is None:
            detail = f"There is no rate for {currency[:8]}; set payments.rates, and let the provider send this again."
            raise Refusal(422, "unknown_currency", detail)
        return rate


def _log(provider: str, what: str, reported: ReportedPayment) -> None:
    log.info(
        "payment_changed",
        provider=provider,
        report=what,
        payment=reported.id,
        app=reported.app,
        amount=str(reported.amount),
    )


def _unknown_provider() -> Refusal:
    return Refusal(404, "not_found", "There is no such route.")


def _bad_signature() -> Refusal:
    return Refusal(400, "invalid_signature", "The signature is not by the provider, or it is too old.")


def _unreadable() -> Refusal:
    return Refusal(400, "invalid_parameter", "The event is not of the shape that its type has.")
