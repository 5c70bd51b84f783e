"""Webhook endpoints over HTTP: those of an app."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Path, Query

from middlewares.exchange import Refusal
from proxy.api.audit.route import CurrentAct
from proxy.api.caller import Caller, CallerWith
from proxy.api.services import BuilderServices
from proxy.api.webhooks.models import (
    ChangedWebhook,
    DeliveryPage,
    DeliveryView,
    NewWebhook,
    SecretRotation,
    WebhookList,
    WebhookSecret,
    WebhookTest,
    WebhookView,
)
from proxy.control.audit.line import AuditTarget
from proxy.identity.token_issuer import ADMIN, READ
from proxy.webhooks.notifications.service import UnusableWebhook

Reader = Annotated[Caller, Depends(CallerWith(READ))]
Manager = Annotated[Caller, Depends(CallerWith(ADMIN))]
WebhookId = Annotated[str, Path(pattern="^[a-z2-7]{16}$")]
DeliveryId = Annotated[str, Path(pattern="^msg_[0-9a-f]{32}$")]
Limit = Annotated[int, Query(ge=1, le=1_000)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")]


class AppWebhookEndpoints:
    """The routes below `/api/v1/apps/{client_id}/webhooks`."""

    def __init__(self, services: BuilderServices) -> None:
        self._webhooks = services.webhooks

    async def create(self, client_id: str, caller: Manager, act: CurrentAct, body: NewWebhook) -> WebhookSecret:
        """Register a URL. Its secret is in this response and nowhere else."""
        try:
            endpoint, secret = await self._webhooks.create(
                caller.app,
                body.url,
                kinds=tuple(body.kinds),
                description=body.description,
                balance_below=body.balance_below,
            )
        except UnusableWebhook as error:
            raise _refusal(error) from None
        act.target = AuditTarget("webhook", endpoint.webhook_id, caller.app)
        act.detail["host"] = urlsplit(endpoint.url).hostname
        return WebhookSecret.with_secret(endpoint, secret)

    async def list(self, client_id: str, caller: Reader) -> WebhookList:
        """Return the endpoints of the app."""
        return WebhookList(webhooks=[WebhookView.of(each) for each in await self._webhooks.all(caller.app)])

    async def get(self, client_id: str, webhook_id: WebhookId, caller: Reader) -> WebhookView:
        """Return an endpoint."""
        return WebhookView.of(await self._webhooks.get(caller.app, webhook_id))

    async def change(
        self, client_id: str, webhook_id: WebhookId, caller: Manager, act: CurrentAct, body: ChangedWebhook
    ) -> WebhookView:
        """Change what is named of an endpoint."""
        act.target = AuditTarget("webhook", webhook_id, caller.app)
        act.detail["changed"] = ", ".join(sorted(body.change))
        try:
            return WebhookView.of(await self._webhooks.change(caller.app, webhook_id, body.change))
        except UnusableWebhook as error:
            raise _refusal(error) from None

    async def remove(self, client_id: str, webhook_id: WebhookId, caller: Manager, act: CurrentAct) -> WebhookView:
        """Remove an endpoint, and what waits for it."""
        act.target = AuditTarget("webhook", webhook_id, caller.app)
        return WebhookView.of(await self._webhooks.remove(caller.app, webhook_id))

    async def rotate_secret(
        self,
        client_id: str,
        webhook_id: WebhookId,
        caller: Manager,
        act: CurrentAct,
        body: SecretRotation | None = None,
    ) -> WebhookSecret:
        """Replace the secret; webhooks carry two signatures for the overlap."""
        act.target = AuditTarget("webhook", webhook_id, caller.app)
        wanted = body or SecretRotation()
        act.detail["overlap_seconds"] = wanted.overlap_seconds
        try:
            return WebhookSecret.with_secret(
                *await self._webhooks.rotate_secret(caller.app, webhook_id, wanted.overlap)
            )
        except UnusableWebhook as error:
            raise _refusal(error) from None

    async def test(self, client_id: str, webhook_id: WebhookId, caller: Manager, act: CurrentAct) -> WebhookTest:
        """Send a webhook of kind `webhook.test` now, once, and return what came of it."""
        act.target = AuditTarget("webhook", webhook_id, caller.app)
        return WebhookTest.of(await self._webhooks.test(caller.app, webhook_id))

    async def deliveries(
        self, client_id: str, webhook_id: WebhookId, caller: Reader, limit: Limit = 100, before: Before = None
    ) -> DeliveryPage:
        """Return what was sent to an endpoint or waits for it, by page, the latest first."""
        found, following = await self._webhooks.deliveries(caller.app, webhook_id, before, limit)
        return DeliveryPage(deliveries=[DeliveryView.of(each) for each in found], next=following)

    async def replay(
        self, client_id: str, webhook_id: WebhookId, delivery_id: DeliveryId, caller: Manager, act: CurrentAct
    ) -> DeliveryView:
        """Send a webhook again, under the same id."""
        act.target = AuditTarget("webhook", webhook_id, caller.app)
        act.detail["delivery"] = delivery_id
        return DeliveryView.of(await self._webhooks.replay(caller.app, webhook_id, delivery_id))


def _refusal(error: UnusableWebhook) -> Refusal:
    return Refusal(400, "invalid_parameter", str(error))
