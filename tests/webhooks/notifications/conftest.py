"""An outbox on each kind of database, an empty Redis, a receiver, and a notifier whose clock a test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.apps import Apps
from proxy.control.sealed_secrets import SealedSecrets
from proxy.control.webhook_endpoints import WebhookEndpoint
from proxy.history.store import History
from proxy.store.clients import now_ms
from proxy.store.store import Store
from proxy.webhooks.notifications.notifier import Notifier
from proxy.webhooks.notifications.observer import UnobservedNotifications
from proxy.webhooks.notifications.sender import WebhookSender
from proxy.webhooks.notifications.service import WebhookService
from tests.history.conftest import history, history_url, postgres
from tests.history.fakes import TAGS, Archive, event
from tests.support.redis_fixtures import redis_server, store
from tests.webhooks.notifications.receiver import Receiver, receiving

__all__ = ["history", "history_url", "postgres", "redis_server", "store"]

PLANS = {
    "budget": {
        "billing": "usage",
        "prices": [{"unit": "requests", "amount": 1}],
        "limits": {
            "app": {"caps": [{"unit": "amount", "per": "month", "max": 1_000}]},
            "user": {"caps": [{"unit": "requests", "per": "day", "max": 10}]},
        },
    },
    "prepaid": {"billing": "credits", "prices": [{"unit": "requests", "amount": 1}]},
}
LOCAL = {"networks": ["127.0.0.0/8", "::1/128"]}


@dataclass
class Notified:
    """A notifier with all that it works on. Its clock is Redis time and what the test adds."""

    settings: Settings
    store: Store
    history: History
    receiver: Receiver
    keys: RedisKeys
    later_ms: int = 0
    health: dict[str, bool] = field(default_factory=dict)
    """Of gateways, by their origins."""
    service: WebhookService = field(init=False)
    notifier: Notifier = field(init=False)

    def __post_init__(self) -> None:
        self.service = WebhookService(self.settings, self.store.redis, self.history)
        sender = WebhookSender(
            self.settings.notifications, SealedSecrets(self.settings.data_dir), tls=self.receiver.client_tls
        )
        observer = UnobservedNotifications()
        self.notifier = Notifier(
            *(self.store.redis, self.keys, self.history, self.settings, observer),
            health=lambda: self.health,
            clock=self.now,
            sender=sender,
        )

    async def now(self) -> int:
        """Return the notifier's time, Unix milliseconds."""
        return await now_ms(self.store.redis) + self.later_ms

    async def endpoint(self, owner: str, **members: Any) -> WebhookEndpoint:
        """Register the receiver's URL for an owner."""
        endpoint, secret = await self.service.create(owner, self.receiver.url, **members)
        self.receiver.secrets.append(secret)
        return endpoint

    @property
    def archive(self) -> Archive:
        """Return what writes events as the ledger does, and archives them."""
        return Archive(self.store.redis, self.keys, self.history)

    async def app(self, plan: str) -> str:
        """Create an app on a plan; return its client id."""
        return (await Apps(self.store.redis, None).create("test", plan))[0].client_id

    async def used(self, app: str, user: str | None = None, key: str | None = None) -> None:
        """Let somebody have used something, archive that, and do a round."""
        await self.archive.add(event(app, user=user, key=key, time=await self.now()))
        await self.archive.advance()
        await self.round()

    async def round(self) -> None:
        """Do one round of the notifier, to the end of all attempts that it begins."""
        await self.notifier.advance()
        await self.notifier.delivery.idle()


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiving(tmp_path) as running:
        yield running


@pytest.fixture
async def notified(tmp_path: Path, store: Store, history: History, receiver: Receiver) -> AsyncIterator[Notified]:
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "notifications": LOCAL, "plans": PLANS})
    found = Notified(settings, store, history, receiver, RedisKeys(TAGS, cluster=False))
    yield found
    await found.notifier.close()
