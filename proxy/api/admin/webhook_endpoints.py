"""The routes of the admin API on endpoints that webhooks are sent to."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from proxy.api.admin.endpoints import Admin, OperationEndpoints, Support, Viewer
from proxy.api.webhooks.endpoints import Before, DeliveryId, Limit, WebhookId
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

Owner = Annotated[
    str | None, Query(pattern="^app_[a-z2-7]{16}$", description="App whose endpoints are meant; none: the operator's.")
]


class WebhookEndpointRoutes(OperationEndpoints):
    """The routes below `/webhooks`."""

    async def create(self, operator: Admin, body: NewWebhook, client_id: Owner = None) -> WebhookSecret:
        """Register a URL. Its secret is in this response and nowhere else."""
        return await self.by(operator).webhooks.create(client_id, body)

    async def list(self, operator: Viewer, client_id: Owner = None) -> WebhookList:
        """Return endpoints, oldest first."""
        return await self.by(operator).webhooks.list(client_id)

    async def get(self, webhook_id: WebhookId, operator: Viewer) -> WebhookView:
        """Return an endpoint."""
        return await self.by(operator).webhooks.get(webhook_id)

    async def change(self, webhook_id: WebhookId, operator: Admin, body: ChangedWebhook) -> WebhookView:
        """Change what is named of an endpoint."""
        return await self.by(operator).webhooks.change(webhook_id, body)

    async def remove(self, webhook_id: WebhookId, operator: Admin) -> WebhookView:
        """Remove an endpoint, and what waits for it."""
        return await self.by(operator).webhooks.remove(webhook_id)

    async def rotate_secret(
        self, webhook_id: WebhookId, operator: Admin, body: SecretRotation | None = None
    ) -> WebhookSecret:
        """Replace the secret; webhooks carry two signatures for the overlap."""
        return await self.by(operator).webhooks.rotate_secret(webhook_id, body or SecretRotation())

    async def test(self, webhook_id: WebhookId, operator: Support) -> WebhookTest:
        """Send a webhook of kind `webhook.test` now, once, and return what came of it."""
        return await self.by(operator).webhooks.test(webhook_id)

    async def deliveries(
        self, webhook_id: WebhookId, operator: Viewer, limit: Limit = 100, before: Before = None
    ) -> DeliveryPage:
        """Return what was sent to an endpoint or waits for it, by page, the latest first."""
        return await self.by(operator).webhooks.deliveries(webhook_id, before, limit)

    async def replay(self, webhook_id: WebhookId, delivery_id: DeliveryId, operator: Support) -> DeliveryView:
        """Send a webhook again, under the same id."""
        return await self.by(operator).webhooks.replay(webhook_id, delivery_id)
