"""The service for endpoints that webhooks are sent to: create, change, remove, and rotate their secrets."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict

from middlewares.auth.keys import new_id
from middlewares.auth.records import RecordRef
from proxy.control.records import WEBHOOKS, Client, Records, UnknownRecord, indexed, webhooks_of
from proxy.control.sealed_secrets import SealedSecrets

OPERATOR = "operator"
"""Owner of the endpoints that are of no app."""
WebhookStatus = Literal["active", "paused"]

MOST_OLD_SECRETS = 4
"""Secrets that were replaced and sign still: each makes the header of signatures longer."""
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A secret that webhooks are signed with."""

    sealed: str
    """Encrypted by `SealedSecrets`."""
    ends_at: datetime | None = None
    """When it is used no more, as it was replaced; None: it is the current one."""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A URL that webhooks are sent to. Times are in UTC."""

    webhook_id: str
    owner: str
    """Client id of an app, or `OPERATOR`."""
    url: str
    created_at: datetime
    secrets: tuple[SigningSecret, ...] = field(repr=False)
    """The current one first."""
    kinds: tuple[str, ...] = ()
    """Kinds of notifications that it takes; empty: all."""
    description: str = ""
    balance_below: str | None = None
    """Atomic units below which a balance is low, as a decimal string; None: it never is."""
    status: WebhookStatus = "active"

    @property
    def ref(self) -> RecordRef:
        return RecordRef("webhook", self.webhook_id)

    def wants(self, kind: str) -> bool:
        """Return True if it takes notifications of this kind; while it is paused, they wait for it in the outbox."""
        return not self.kinds or kind in self.kinds

    def living_secrets(self, now: datetime) -> list[SigningSecret]:
        """Return the secrets to sign with: the current one, and replaced ones until their end."""
        return [each for each in self.secrets if each.ends_at is None or each.ends_at > now]


class WebhookChange(TypedDict, total=False):
    """What may be changed of an endpoint; what is left out stays."""

    url: str
    kinds: tuple[str, ...]
    description: str
    balance_below: str | None
    status: WebhookStatus


class TooManyEndpoints(Exception):
    """The owner has as many endpoints as it may have."""

    audit_code = "invalid_parameter"


class WebhookEndpoints:
    """Makes, finds and changes endpoints. Everything raises what `Records` does."""

    def __init__(self, client: Client, sealed: SealedSecrets) -> None:
        self._client: Any = client
        self._sealed = sealed
        self._records = Records(client, WebhookEndpoint)

    async def create(
        self, owner: str, url: str, *, kinds: tuple[str, ...], description: str, balance_below: str | None, most: int
    ) -> tuple[WebhookEndpoint, str]:
        """Create an endpoint. Return it and its secret, which is not shown again. Raises `TooManyEndpoints`."""
        text = _new_secret()
        endpoint = WebhookEndpoint(
            webhook_id=new_id(),
            owner=owner,
            url=url,
            created_at=datetime.now(UTC),
            secrets=(SigningSecret(self._sealed.seal(text)),),
            kinds=kinds,
            description=description,
            balance_below=balance_below,
        )
        index = webhooks_of(owner)
        await self._client.sadd(index, endpoint.webhook_id)
        if await self._client.scard(index) > most:  # counted with this one, for others may be created meanwhile
            await self._client.srem(index, endpoint.webhook_id)
            raise TooManyEndpoints(f"there may be {most} endpoints at most; remove one")
        await self._client.sadd(WEBHOOKS, endpoint.webhook_id)
        await self._records.add(endpoint)
        return endpoint, text

    async def require(self, owner: str | None, webhook_id: str) -> WebhookEndpoint:
        """Return an endpoint of this owner, None: of whichever. Raises `UnknownRecord`."""
        endpoint = await self._records.require(RecordRef("webhook", webhook_id))
        if owner not in (None, endpoint.owner):
            raise UnknownRecord(endpoint.ref)
        return endpoint

    async def all(self) -> list[WebhookEndpoint]:
        """Return all endpoints, oldest first."""
        return await _several(self._client, await indexed(self._client, WEBHOOKS))

    async def change(
        self, endpoint: WebhookEndpoint, edit: Callable[[WebhookEndpoint], WebhookEndpoint]
    ) -> WebhookEndpoint:
        """Replace an endpoint by what `edit` returns for it. Raises `UnknownRecord`."""
        return await self._records.change(endpoint.ref, edit)

    async def rotate_secret(self, endpoint: WebhookEndpoint, overlap: timedelta) -> tuple[WebhookEndpoint, str]:
        """Sign with a new secret, and with the latest before for `overlap`. Return the endpoint and the new secret."""
        text, now = _new_secret(), datetime.now(UTC)
        new = SigningSecret(self._sealed.seal(text))

        def rotate(found: WebhookEndpoint) -> WebhookEndpoint:
            until = now + overlap
            before = [replace(each, ends_at=min(each.ends_at or until, until)) for each in found.living_secrets(now)]
            return replace(found, secrets=(new, *(before[:MOST_OLD_SECRETS] if overlap else ())))

        return await self._records.change(endpoint.ref, rotate), text


async def owned_endpoints(client: Client, owner: str) -> list[WebhookEndpoint]:
    """Return the endpoints of an owner, oldest first."""
    return await _several(client, await indexed(client, webhooks_of(owner)))


async def remove_endpoint(client: Client, endpoint: WebhookEndpoint) -> None:
    """Remove an endpoint for good."""
    redis: Any = client
    await Records(client, WebhookEndpoint).remove(endpoint.ref)
    await redis.srem(webhooks_of(endpoint.owner), endpoint.webhook_id)
    await redis.srem(WEBHOOKS, endpoint.webhook_id)


async def _several(client: Client, ids: list[str]) -> list[WebhookEndpoint]:
    return await Records(client, WebhookEndpoint).several([RecordRef("webhook", each) for each in ids])


def _new_secret() -> str:
    """Return a secret as Standard Webhooks spells it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
