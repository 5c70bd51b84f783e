"""Checkouts over HTTP: an app sends its customer to a page that takes money for credits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import structlog
from fastapi import Depends, Request

from middlewares.exchange import Exchange, Refusal
from proxy.api.audit.route import CurrentAct
from proxy.api.caller import Caller, CallerWith
from proxy.api.payments.models import CheckoutView, NewCheckout
from proxy.api.users import require_user
from proxy.control.audit.line import AuditTarget
from proxy.control.payments.checkout import Checkout, CheckoutFailed, CheckoutServices
from proxy.control.users import Users
from proxy.identity.token_issuer import ADMIN

Buyer = Annotated[Caller, Depends(CallerWith(ADMIN))]

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.payments")


class CheckoutEndpoint:
    """The route `/api/v1/apps/{client_id}/checkout`."""

    def __init__(self, services: CheckoutServices, users: Users) -> None:
        self._services = services
        self._users = users

    async def create(
        self, client_id: str, caller: Buyer, body: NewCheckout, act: CurrentAct, request: Request
    ) -> CheckoutView:
        """Create a checkout; its URL is for the customer's browser. Credits come once the payment is reported."""
        checkouts = self._services.checkouts
        if checkouts is None:
            raise Refusal(404, "not_found", "There are no checkouts here.")
        user = await require_user(self._users, caller.app, body.user) if body.user else None
        exchange: Exchange = request.scope["tollgate.exchange"]
        wanted = Checkout(
            request_id=exchange.request_id,
            app=caller.app,
            user=user.user_id if user else None,
            minor_amount=self._minor_amount(body.amount) if body.amount else 0,
            subscription=self._subscription(body.subscription),
            success_url=body.success_url or self._page(),
            cancel_url=body.cancel_url or self._page(),
        )
        try:
            created = await checkouts.create(wanted)
        except CheckoutFailed as error:
            log.warning("checkout_failed", app=caller.app, error=f"{error}")
            detail = "The payment provider has not created the checkout; try again shortly."
            raise Refusal(503, "payment_unavailable", detail, headers=[(b"retry-after", b"5")]) from None
        act.target = AuditTarget("checkout", created.id, caller.app)
        act.detail |= {"user": wanted.user, "minor_amount": wanted.minor_amount, "subscription": wanted.subscription}
        expires = datetime.fromtimestamp(created.expires_at, UTC)
        return CheckoutView(id=created.id, url=created.url, expires_at=expires)

    def _minor_amount(self, amount: str) -> int:
        """Return what the customer pays, in the smallest unit of the currency. Raises `Refusal`."""
        stripe = self._services.settings.stripe
        rate = self._services.settings.rate(self._services.currency, stripe.currency) or 1  # checked at start
        minor, rest = divmod(int(amount), rate)
        if rest:
            raise _unusable(
                f"The amount must be a multiple of {rate}, which is the smallest unit of {stripe.currency}."
            )
        if not stripe.smallest <= minor <= stripe.largest:
            raise _unusable(f"The amount must be from {stripe.smallest * rate} to {stripe.largest * rate}.")
        return minor

    def _subscription(self, name: str | None) -> str | None:
        if name is not None and name not in (offers := self._services.settings.stripe.subscriptions):
            offered = ", ".join(sorted(offers)) or "none"
            raise _unusable(f"There is no such subscription; subscriptions are {offered}.")
        return name

    def _page(self) -> str:
        page = self._services.settings.stripe.return_url or self._services.public_url
        if page is None:
            raise _unusable("Give success_url and cancel_url.")
        return page


def _unusable(detail: str) -> Refusal:
    return Refusal(400, "invalid_parameter", detail)
