"""The operations on webhook endpoints, by the routes of the admin API."""

from __future__ import annotations

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
from proxy.api.webhooks.operations import WebhookOperations
from proxy.cli.remote.client import AdminClient


class RemoteWebhooks(WebhookOperations):
    """Endpoints that webhooks are sent to, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def create(self, client_id: str | None, new: NewWebhook) -> WebhookSecret:
        return await self._call("POST", "/webhooks", WebhookSecret, body=new, params={"client_id": client_id})

    async def list(self, client_id: str | None) -> WebhookList:
        return await self._call("GET", "/webhooks", WebhookList, params={"client_id": client_id})

    async def get(self, webhook_id: str) -> WebhookView:
        return await self._call("GET", f"/webhooks/{webhook_id}", WebhookView)

    async def change(self, webhook_id: str, change: ChangedWebhook) -> WebhookView:
        return await self._call("PATCH", f"/webhooks/{webhook_id}", WebhookView, body=change)

    async def remove(self, webhook_id: str) -> WebhookView:
        return await self._call("DELETE", f"/webhooks/{webhook_id}", WebhookView)

    async def rotate_secret(self, webhook_id: str, rotation: SecretRotation) -> WebhookSecret:
        return await self._call("POST", f"/webhooks/{webhook_id}/secret", WebhookSecret, body=rotation)

    async def test(self, webhook_id: str) -> WebhookTest:
        return await self._call("POST", f"/webhooks/{webhook_id}/test", WebhookTest)

    async def deliveries(self, webhook_id: str, before: int | None, limit: int) -> DeliveryPage:
        params = {"before": before, "limit": limit}
        return await self._call("GET", f"/webhooks/{webhook_id}/deliveries", DeliveryPage, params=params)

    async def replay(self, webhook_id: str, delivery_id: str) -> DeliveryView:
        path = f"/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"
        return await self._call("POST", path, DeliveryView)
