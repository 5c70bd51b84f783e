"""The webhooks: one row for each, with the secret that its callers must show and the handler that responds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pydantic import SecretStr
from starlette.requests import Request

from config.settings import Settings
from proxy.webhooks.live import LiveWebhooks
from proxy.webhooks.orchestrators import OrchestratorLists
from proxy.webhooks.push import PushWebhooks
from proxy.webhooks.requests import Heartbeat, PushRequest, SignerRequest, StreamRequest, read_body
from proxy.webhooks.signer import SignerWebhooks


class Secret(NamedTuple):
    """A secret that callers of webhooks must show. While it is not set, its webhooks are 404."""

    setting: str
    """Path of its setting, for people."""
    read: Callable[[Settings], SecretStr | None]


class Services(NamedTuple):
    """What handlers work with, as the present settings configure it."""

    live: LiveWebhooks
    push: PushWebhooks
    signer: SignerWebhooks
    orchestrators: OrchestratorLists


class Webhook(NamedTuple):
    """One row of the table."""

    path: str
    secret: Secret
    handler: Callable[[Services, Request], Awaitable[object]]
    """Returns the JSON document of the response, None for a response without a body. Raises `Refusal`, `StoreError`."""
    method: str = "POST"


async def authorise_live(services: Services, request: Request) -> object:
    """Handle the question whether a live stream may begin."""
    return await services.live.authorise(await read_body(request, StreamRequest))


async def heartbeat_live(services: Services, request: Request) -> object:
    """Handle the report of the live streams that run; respond with those that must end."""
    heartbeat = await read_body(request, Heartbeat)
    ended = await services.live.heartbeat(heartbeat.ids or [])
    return {"terminatedStreamIds": ended} if ended else {}


async def authorise_push(services: Services, request: Request) -> object:
    """Handle the question whether a stream may be pushed, or a recording be read."""
    return await services.push.authorise((await read_body(request, PushRequest)).url)


async def authorise_payment(services: Services, request: Request) -> object:
    """Handle the question whether a remote signer may pay."""
    return await services.signer.authorise(await read_body(request, SignerRequest))


async def list_orchestrators(services: Services, request: Request) -> object:
    """Handle the request for the orchestrators of a tier."""
    return await services.orchestrators.of_tier(request.path_params["tier"])


GATEWAYS = Secret("webhooks.secret", lambda settings: settings.webhooks.secret)
SIGNERS = Secret("webhooks.signer.secret", lambda settings: settings.webhooks.signer.secret)
DISCOVERY = Secret("webhooks.discovery.secret", lambda settings: settings.webhooks.discovery.secret)

WEBHOOKS = (
    Webhook("/webhooks/live/auth", GATEWAYS, authorise_live),  # -liveAIAuthWebhookUrl
    Webhook("/webhooks/live/heartbeat", GATEWAYS, heartbeat_live),  # -liveAIHeartbeatURL
    Webhook("/webhooks/auth", GATEWAYS, authorise_push),  # -authWebhookUrl
    Webhook("/webhooks/signer", SIGNERS, authorise_payment),  # -remoteSignerWebhookUrl
    Webhook("/webhooks/orchestrators/{tier}", DISCOVERY, list_orchestrators, "GET"),  # -orchWebhookUrl
)
