"""A remote signer as it reads its webhook: what it would tell its caller, 500 and 502 included."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.applications import Starlette

from config.plans import Plan
from middlewares.ledger.admission.policy import Policy
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.webhooks.service import Webhooks
from tests.live.assertions import LedgerView
from tests.live.server_fixture import SECRET
from tests.support.served import served

UNITS = {"live": "seconds", "lv2v": "720p-pixel-seconds", "fixed": "fixed"}
"""By `CONTRACT.md` section 5.5."""
OWN_STATUSES = {480, 481, 482}
"""What a signer itself says to its callers; a webhook that did would be misread."""
AGES: list[dict[str, Any]] = [
    {"StateID": "a1b2c3d4", "Type": "lv2v"},
    {
        "StateID": "a1b2c3d4",
        "PMSessionID": "pm",
        "LastUpdate": "2026-11-29T10:00:00.123456789Z",
        "OrchestratorAddress": "0x00000000000000000000000000000000000000aa",
        "App": "live-video-to-video/scope",
        "AuthExpiry": 0,
        "SenderNonce": 3,
        "Balance": "500/1",
        "InitialPricePerUnit": 10,
        "InitialPixelsPerUnit": 1,
        "Type": "live",
        "SequenceNumber": 18446744073709551615,
        "AuthID": "",
    },
]
"""States of a payment session as signers send them."""


class SignerPeer:
    """Calls the webhook as a signer does, and holds each response to what a signer accepts."""

    def __init__(self, origin: str, view: LedgerView) -> None:
        self._origin = origin
        self.view = view

    @property
    def now(self) -> int:
        """The signer's clock, in whole seconds."""
        return int(time.time())

    async def customer(self, plan: str) -> tuple[str, str]:
        """A new app and a key of it."""
        redis = self.view.store.redis
        app, _ = await Apps(redis, None).create("test", plan)
        _, key = await ApiKeys(redis, None).create(app.client_id)
        return app.client_id, key

    def policy(self, plan: Plan, app: str, key: str, name: str) -> Policy:
        return Policy(self.view.keys, app=app, user=None, key=key, name=name, plan=plan)

    async def pay(self, key: str, session: str, kind: str, **state: Any) -> dict[str, Any]:
        """Ask whether a session may pay."""
        return await self.ask({"headers": {"X-Api-Key": [key]}, "state": {"StateID": session, "Type": kind, **state}})

    async def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask with a body of the test's own."""
        async with httpx.AsyncClient(base_url=self._origin, trust_env=False) as client:
            response = await client.post("/webhooks/signer", json=body, headers={"Authorization": f"Bearer {SECRET}"})
        document: dict[str, Any] = response.json()
        would_say = read_as_signer(response.status_code, document, (body.get("state") or {}).get("Type", ""))
        assert would_say == document["status"]
        assert would_say not in OWN_STATUSES
        return document


def read_as_signer(status: int, document: Any, kind: str) -> int:
    """Return the status of a signer's response to its caller (`CONTRACT.md` section 5.5)."""
    if status != 200 or not isinstance(document, dict):
        return 500
    said = document.get("status")
    if not isinstance(said, int) or said <= 0:
        return 500
    if said != 200:
        return said
    if not document.get("auth_id") or not isinstance(document.get("expiry"), int):
        return 500
    price = document.get("maxPrice")
    if price is None:
        return 200
    sound = isinstance(price["price"], int) and 0 < price["price"] < 2**63
    return 200 if sound and price["currency"] == "wei" and price["unit"] == UNITS.get(kind) else 502


@contextlib.asynccontextmanager
async def serve_signer(webhooks: Webhooks, view: LedgerView) -> AsyncIterator[SignerPeer]:
    """Serve the webhooks on a socket, for a signer."""
    async with served(Starlette(routes=webhooks.routes())) as origin:
        yield SignerPeer(origin, view)
