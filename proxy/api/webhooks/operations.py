"""Operations on webhook endpoints, for operators: those of any app, and the operator's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

from proxy.api.admin.operations.acts import Acts, settle_target
from proxy.api.admin.operations.errors import invalid
from proxy.api.admin.operations.resources import Resources
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
from proxy.control.audit.log import Act
from proxy.control.webhook_endpoints import OPERATOR
from proxy.webhooks.notifications.service import UnusableWebhook, WebhookService


class WebhookOperations(Protocol):
    """Endpoints that webhooks are sent to; `client_id` None: those of the operator."""

    async def create(self, client_id: str | None, new: NewWebhook) -> WebhookSecret: ...
    async def list(self, client_id: str | None) -> WebhookList: ...
    async def get(self, webhook_id: str) -> WebhookView: ...
    async def change(self, webhook_id: str, change: ChangedWebhook) -> WebhookView: ...
    async def remove(self, webhook_id: str) -> WebhookView: ...
    async def rotate_secret(self, webhook_id: str, rotation: SecretRotation) -> WebhookSecret: ...
    async def test(self, webhook_id: str) -> WebhookTest: ...
    async def deliveries(self, webhook_id: str, before: int | None, limit: int) -> DeliveryPage: ...
    async def replay(self, webhook_id: str, delivery_id: str) -> DeliveryView: ...


class DirectWebhooks(WebhookOperations):
    """Endpoints, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._apps = resources.apps
        self._webhooks = WebhookService(resources.settings, resources.store.redis, resources.history)
        self._acts = acts

    async def create(self, client_id: str | None, new: NewWebhook) -> WebhookSecret:
        """Register a URL."""
        async with self._acts.act("webhook.create", "webhook", app=client_id or "") as act:
            if client_id is not None:
                await self._apps.require(client_id)
            try:
                endpoint, secret = await self._webhooks.create(
                    client_id or OPERATOR,
                    new.url,
                    kinds=tuple(new.kinds),
                    description=new.description,
                    balance_below=new.balance_below,
                )
            except UnusableWebhook as error:
                raise invalid(str(error)) from None
            settle_target(act, endpoint.webhook_id)
            act.detail["host"] = urlsplit(endpoint.url).hostname
        return WebhookSecret.with_secret(endpoint, secret)

    async def list(self, client_id: str | None) -> WebhookList:
        """Return endpoints, oldest first."""
        if client_id is not None:
            await self._apps.require(client_id)
        found = await self._webhooks.all(client_id or OPERATOR)
        return WebhookList(webhooks=[WebhookView.of(each) for each in found])

    async def get(self, webhook_id: str) -> WebhookView:
        """Return an endpoint."""
        return WebhookView.of(await self._webhooks.get(None, webhook_id))

    async def change(self, webhook_id: str, change: ChangedWebhook) -> WebhookView:
        """Change what is named of an endpoint."""
        async with self._act("webhook.change", webhook_id) as act:
            act.detail["changed"] = ", ".join(sorted(change.change))
            try:
                return WebhookView.of(await self._webhooks.change(None, webhook_id, change.change))
            except UnusableWebhook as error:
                raise invalid(str(error)) from None

    async def remove(self, webhook_id: str) -> WebhookView:
        """Remove an endpoint, and what waits for it."""
        async with self._act("webhook.remove", webhook_id):
            return WebhookView.of(await self._webhooks.remove(None, webhook_id))

    async def rotate_secret(self, webhook_id: str, rotation: SecretRotation) -> WebhookSecret:
        """Replace the secret; webhooks carry two signatures for the overlap."""
        async with self._act("webhook.rotate_secret", webhook_id) as act:
            act.detail["overlap_seconds"] = rotation.overlap_seconds
            try:
                found = await self._webhooks.rotate_secret(None, webhook_id, rotation.overlap)
            except UnusableWebhook as error:
                raise invalid(str(error)) from None
        return WebhookSecret.with_secret(*found)

    async def test(self, webhook_id: str) -> WebhookTest:
        """Send a test webhook now, once."""
        async with self._act("webhook.test", webhook_id):
            return WebhookTest.of(await self._webhooks.test(None, webhook_id))

    async def deliveries(self, webhook_id: str, before: int | None, limit: int) -> DeliveryPage:
        """Return what was sent to an endpoint or waits for it, the latest first."""
        found, following = await self._webhooks.deliveries(None, webhook_id, before, limit)
        return DeliveryPage(deliveries=[DeliveryView.of(each) for each in found], next=following)

    async def replay(self, webhook_id: str, delivery_id: str) -> DeliveryView:
        """Send a webhook again, under the same id."""
        async with self._act("webhook.replay", webhook_id) as act:
            act.detail["delivery"] = delivery_id
            return DeliveryView.of(await self._webhooks.replay(None, webhook_id, delivery_id))

    @asynccontextmanager
    async def _act(self, action: str, webhook_id: str) -> AsyncIterator[Act]:
        """Write the line of an act on an endpoint, which the tenant may read where it is an app's."""
        async with self._acts.act(action, "webhook", webhook_id) as act:
            owner = (await self._webhooks.get(None, webhook_id)).owner
            settle_target(act, webhook_id, "" if owner == OPERATOR else owner)
            yield act
