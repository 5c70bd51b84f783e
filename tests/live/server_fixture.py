"""Webhooks on a socket, a gateway stand-in that calls them, and customers; Redis time is the test's to choose."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.applications import Starlette

from config.settings import Settings
from config.webhooks import WebhookSettings
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.mock_gateway import MockGateway
from proxy.mock_gateway.gateway import Hooks
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.service import Webhooks
from tests.live.assertions import PLANS, TICK, LedgerView
from tests.support.deployment import Customer
from tests.support.served import served

SECRET = "a-secret-of-the-gateways"
LIVE = "/live/video-to-video"


def settings_of(**webhooks: Any) -> Settings:
    """Of a gate with the test's plans."""
    secret = webhooks.pop("secret", SecretStr(SECRET))
    given = {"secret": secret, "signer": {"secret": secret}, "discovery": {"secret": secret}} | webhooks
    return Settings(plans=PLANS, webhooks=WebhookSettings(**given))


def hooks_of(origin: str) -> Hooks:
    """As the README says to set a gateway's flags; heartbeats are sent by the test."""
    return Hooks(
        live_auth_url=f"{origin}/webhooks/live/auth",
        live_auth_key=SECRET,
        heartbeat_url=f"{origin}/webhooks/live/heartbeat",
        heartbeat_headers={"Authorization": SECRET},
        heartbeat_interval=0,
        auth_url=f"{origin}/webhooks/auth?secret={SECRET}",
    )


class Rig:
    """One gate's private listener and one gateway."""

    def __init__(self, ledger_view: LedgerView, webhooks: Webhooks, origin: str, gateway: MockGateway) -> None:
        self.ledger_view = ledger_view
        self.webhooks = webhooks
        self.origin = origin
        self.gateway = gateway

    async def customer(
        self,
        plan: str = "prepaid",
        grant: int = 10**6,
        **narrowed: Any,
    ) -> Customer:
        """A new app with a key, maybe narrowed, and so many atomic units in its wallet."""
        redis = self.ledger_view.store.redis
        app, _ = await Apps(redis, None).create("test", plan)
        if grant:
            await self.ledger_view.grant(grant, app.client_id)
        _, key = await ApiKeys(redis, None).create(app.client_id, **narrowed)
        return Customer(app.client_id, key)

    async def publish(self, customer: Customer, name: str = "cam", parameter: str = "key") -> int:
        """Publish as MediaMTX tells the gateway of it; the gateway's answer: 200 or 403."""
        form = {"source_id": "1", "source_type": "rtmpconn", "query": f"{parameter}={customer.key}"}
        async with httpx.AsyncClient(base_url=self.gateway.url, trust_env=False, verify=False) as client:
            return (await client.post(f"{LIVE}/{customer.app}_{name}/start", data=form)).status_code

    async def ask(self, path: str, body: object, **request: Any) -> httpx.Response:
        """Call a webhook by hand."""
        headers = request.pop("headers", {"x-api-key": SECRET})
        method = request.pop("method", "POST")
        async with httpx.AsyncClient(base_url=self.origin, trust_env=False, verify=False) as client:
            return await client.request(method, path, json=body, headers=headers, **request)

    async def beat(self, *, after: int = TICK, times: int = 1) -> None:
        """The gateway's next heartbeat, so many milliseconds later."""
        self.ledger_view.clocked.now_ms += after
        for _ in range(times):
            await self.gateway.beat()


@contextlib.asynccontextmanager
async def rig(ledger_view: LedgerView, settings: Settings) -> AsyncIterator[Rig]:
    """Both run until the end of the test."""
    webhooks = Webhooks(
        ledger_view.clocked, ledger_view.store.redis, ledger_view.keys, LiveMetrics(CollectorRegistry())
    )
    await webhooks.configure(settings)
    app = Starlette(routes=webhooks.routes())
    try:
        async with served(app) as origin, MockGateway(hooks=hooks_of(origin)) as gateway:
            yield Rig(ledger_view, webhooks, origin, gateway)
    finally:
        await webhooks.close()
