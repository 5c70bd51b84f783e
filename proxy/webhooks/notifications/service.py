"""What owners of endpoints may do: register URLs, rotate secrets, try, look at deliveries, replay."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
from ulid import ULID

from config.settings import Settings
from middlewares.auth.records import RecordRef
from proxy.control.records import Client, UnknownRecord
from proxy.control.sealed_secrets import SealedSecrets, SecretUnreadable
from proxy.control.webhook_endpoints import (
    OPERATOR,
    TooManyEndpoints,
    WebhookChange,
    WebhookEndpoint,
    WebhookEndpoints,
    owned_endpoints,
    remove_endpoint,
)
from proxy.history.store import History
from proxy.identity.public_address import HIGHEST_PORT, address_of, is_allowed
from proxy.store.clients import now_ms
from proxy.webhooks.notifications import outbox
from proxy.webhooks.notifications.attempts import Delivery, SendOutcome
from proxy.webhooks.notifications.notification import LONGEST_URL, OF_OPERATOR, Notification, NotificationKind
from proxy.webhooks.notifications.sender import WebhookSender


class UnusableWebhook(ValueError):
    """An endpoint cannot be so; the message names the member, and says why."""

    audit_code = "invalid_parameter"


class WebhookService:
    """Endpoints of one deployment, of all owners.

    Every method raises `UnknownRecord` for what is not of the owner that is given; None: of whichever owner.
    """

    def __init__(self, settings: Settings, client: Client, history: History) -> None:
        self._settings = settings.notifications
        self._client = client
        self._history = history
        self._sealed = SealedSecrets(settings.data_dir)
        self._endpoints = WebhookEndpoints(client, self._sealed)

    async def create(
        self,
        owner: str,
        url: str,
        *,
        kinds: tuple[str, ...] = (),
        description: str = "",
        balance_below: str | None = None,
    ) -> tuple[WebhookEndpoint, str]:
        """Register a URL. Return the endpoint and its secret, which is not shown again. Raises `UnusableWebhook`."""
        self._check(owner, url, kinds)
        try:
            return await self._endpoints.create(
                owner,
                url,
                kinds=kinds,
                description=description,
                balance_below=balance_below,
                most=self._settings.endpoints,
            )
        except (TooManyEndpoints, SecretUnreadable) as error:
            raise UnusableWebhook(str(error)) from None

    async def all(self, owner: str) -> list[WebhookEndpoint]:
        """Return the endpoints of an owner, oldest first."""
        return await owned_endpoints(self._client, owner)

    async def get(self, owner: str | None, webhook_id: str) -> WebhookEndpoint:
        """Return an endpoint."""
        return await self._endpoints.require(owner, webhook_id)

    async def change(self, owner: str | None, webhook_id: str, change: WebhookChange) -> WebhookEndpoint:
        """Change what is named of an endpoint. Raises `UnusableWebhook`."""
        endpoint = await self.get(owner, webhook_id)
        self._check(endpoint.owner, change.get("url", endpoint.url), change.get("kinds", ()))
        members: Mapping[str, Any] = change
        return await self._endpoints.change(endpoint, lambda found: replace(found, **members))

    async def remove(self, owner: str | None, webhook_id: str) -> WebhookEndpoint:
        """Remove an endpoint, and all that waits for it."""
        endpoint = await self.get(owner, webhook_id)
        await remove_endpoint(self._client, endpoint)
        await self._history.write(outbox.forget, webhook_id)
        return endpoint

    async def rotate_secret(
        self, owner: str | None, webhook_id: str, overlap: timedelta
    ) -> tuple[WebhookEndpoint, str]:
        """Replace the secret; both sign for `overlap`. Return the endpoint and the new secret."""
        endpoint = await self.get(owner, webhook_id)
        try:
            return await self._endpoints.rotate_secret(endpoint, overlap)
        except SecretUnreadable as error:
            raise UnusableWebhook(str(error)) from None

    async def test(self, owner: str | None, webhook_id: str) -> SendOutcome:
        """Send a test webhook now, once and past the outbox; return what came of it."""
        endpoint = await self.get(owner, webhook_id)
        test = Notification(NotificationKind.TEST, endpoint.owner, (str(ULID()),), {"webhook_id": webhook_id})
        sender = await asyncio.to_thread(WebhookSender, self._settings, self._sealed)
        try:
            return await sender.send(endpoint, test.id, test.body(await now_ms(self._client)))
        finally:
            await sender.close()

    async def deliveries(
        self, owner: str | None, webhook_id: str, before: int | None, limit: int
    ) -> tuple[list[Delivery], int | None]:
        """Return deliveries to an endpoint, the latest first, and where the next page begins; None: it is the last."""
        await self.get(owner, webhook_id)
        found = await self._history.read(outbox.page, webhook_id, before, limit + 1)
        return found[:limit], found[limit - 1].seq if len(found) > limit else None

    async def replay(self, owner: str | None, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a webhook again, under the same id."""
        await self.get(owner, webhook_id)
        found = await self._history.write(outbox.replay, webhook_id, delivery_id, await now_ms(self._client))
        if found is None:
            raise UnknownRecord(RecordRef("delivery", delivery_id))
        return found

    def _check(self, owner: str, text: str, kinds: tuple[str, ...]) -> None:
        """Raise `UnusableWebhook` for a URL that is never connected to, and for kinds that are another's business."""
        foreign = [kind for kind in kinds if (kind in OF_OPERATOR) != (owner == OPERATOR)]
        if foreign:
            raise UnusableWebhook(
                f"kinds: {foreign[0]} is sent to {'apps' if owner == OPERATOR else 'operators'} alone"
            )
        try:
            url = httpx.URL(text)
            host = url.host
        except (httpx.InvalidURL, UnicodeError):  # the latter for a host such as `xn--`, which encodes no name
            url, host = httpx.URL(""), ""
        if url.scheme != "https" or not host or url.userinfo or url.fragment or len(text) > LONGEST_URL:
            raise UnusableWebhook("url: must be an https URL without user name, password and fragment")
        if url.port is not None and not 0 < url.port <= HIGHEST_PORT:
            raise UnusableWebhook(f"url: its port must be from 1 to {HIGHEST_PORT}")
        try:
            address = address_of(host)
        except ValueError:
            return  # a name, which is looked at whenever it is connected to
        if not is_allowed(address, self._settings.networks):
            raise UnusableWebhook("url: its address is not public; `notifications.networks` can allow it")
