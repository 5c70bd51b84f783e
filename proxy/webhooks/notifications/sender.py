"""Signs webhooks as Standard Webhooks says, and posts them to public addresses."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook

from config.notifications import NotificationSettings
from proxy.control.sealed_secrets import SealedSecrets, SecretUnreadable
from proxy.control.webhook_endpoints import WebhookEndpoint
from proxy.identity.public_address import AddressRefused, PublicClient
from proxy.webhooks.notifications.attempts import SendOutcome

SECONDS = 10.0
"""Time for one attempt, from the resolution of the name to the head of the response."""
_LONGEST_ERROR = 200


class WebhookSender:
    """Sends webhooks. To load the authorities takes its time, so that one sender is used for many."""

    def __init__(
        self,
        settings: NotificationSettings,
        sealed: SealedSecrets,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`tls` None: the usual authorities are trusted. `clock` returns Unix seconds, which receivers compare."""
        self._client = PublicClient(settings.networks, tls or httpx.create_ssl_context(), "notifications.networks")
        self._sealed = sealed
        self._clock = clock

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def send(self, endpoint: WebhookEndpoint, message_id: str, body: str) -> SendOutcome:
        """Try once to deliver a webhook; any 2xx says that it was taken. Redirects are not followed."""
        began = time.monotonic()
        try:
            headers = self._signed(endpoint, message_id, body)
            async with asyncio.timeout(SECONDS):
                response = await self._client.send("POST", httpx.URL(endpoint.url), headers, body.encode())
                await response.aclose()
        except (AddressRefused, SecretUnreadable) as error:
            outcome = SendOutcome(error=str(error))
        except TimeoutError:
            outcome = SendOutcome(error=f"no response within {SECONDS:g} seconds")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the latter by a host in `Location`, too
            outcome = SendOutcome(error=(str(error) or type(error).__name__)[:_LONGEST_ERROR])
        else:
            reason = "" if response.is_success else f"status {response.status_code} instead of 2xx"
            outcome = SendOutcome(response.status_code, reason)
        return SendOutcome(outcome.status, outcome.error, round((time.monotonic() - began) * 1_000))

    def _signed(self, endpoint: WebhookEndpoint, message_id: str, body: str) -> dict[str, str]:
        """Return the headers of an attempt, with one signature by each secret that is not over."""
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        secrets = [self._sealed.open(each.sealed) for each in endpoint.living_secrets(now)]
        return {
            "content-type": "application/json",
            "user-agent": "Tollgate",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(Webhook(each).sign(message_id, now, body) for each in secrets),
        }
